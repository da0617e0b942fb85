// Chromium by Playwright and Firefox by WebDriver BiDi, both as the system installs them, and what
// is watched in each: no request to another origin, no violation of the pages' policy, no error.
import assert from "node:assert/strict";

import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";

// How long a page may take on a machine that does other things too, in milliseconds.
const PATIENCE = 30_000;

// Starts Chromium. It asks nobody for anything but the pages.
export function startChromium() {
  const args = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ];
  return chromium.launch({ executablePath: "/usr/bin/chromium", args });
}

// Starts Firefox. Whether scripts run is a setting of the whole browser.
export function startFirefox({ javaScriptEnabled = true } = {}) {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: "/usr/bin/firefox-esr",
    headless: true,
    timeout: 2 * PATIENCE,
    extraPrefsFirefox: { "javascript.enabled": javaScriptEnabled },
  });
}

// Asks again and again until there is an answer that is not null, and returns it.
export async function until(what, answer) {
  const limit = Date.now() + PATIENCE;
  for (;;) {
    // While a page goes on to the next one, there is nothing to ask.
    const found = await answer().catch(() => null);
    if (found !== null) return found;
    assert.ok(Date.now() < limit, `${what} does not come`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// Opens a window of its own in Chromium. `session` is one that is open already, `origins` are the
// origins that requests may go to.
export async function openWindow(browser, gateway, { session, origins, ...options } = {}) {
  const settings = { locale: "en-GB", timezoneId: "Europe/Berlin", ...options };
  const context = await browser.newContext(settings);
  context.setDefaultTimeout(PATIENCE);
  if (session) {
    const cookie = { ...session.cookie, domain: new URL(gateway.origin).hostname, path: "/" };
    const strict = { secure: true, httpOnly: true, sameSite: "Strict" };
    await context.addCookies([{ ...cookie, ...strict }]);
  }
  const faults = watch(context, new Set([gateway.origin, ...(origins ?? [])]));
  const page = await context.newPage();
  return { context, page, faults };
}

// Collects what must not happen on any page.
function watch(context, origins) {
  const faults = [];
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (!origins.has(url.origin)) faults.push(`asked for ${request.url()}`);
  });
  context.on("console", (message) => {
    // Pages that refuse something are told so by their status; browsers log it too.
    const isStatus = /the server responded with a status of 4\d\d/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !isStatus) {
      faults.push(`${message.page()?.url()}: ${message.text()}`);
    }
  });
  context.on("weberror", (error) => faults.push(String(error.error())));
  return faults;
}

// Closes a window, and says what went wrong in it.
export async function closeWindow({ context, faults }) {
  await context.close();
  assert.deepEqual(faults, []);
}

// Returns how many pixels of a page stand out at its side.
export function overhang(page) {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth - clientWidth;
  });
}

// What a person sees and does, the same in both browsers: `visit` an address, `press` a link or a
// button by its words, and wait until one `arrives` at a path whose page has this heading.
class Person {
  constructor(page) {
    this.page = page;
    this.faults = [];
  }

  async arrives(path, heading) {
    let seen;
    const comes = async () => {
      seen = await this.here();
      return seen.path === path && seen.heading === heading ? true : null;
    };
    await until(heading, comes).catch(() => assert.deepEqual(seen, { path, heading }));
  }

  // Waits for something, and returns its text.
  waitFor(selector) {
    return until(selector, async () => (await this.text(selector)) ?? null);
  }

  async here() {
    const heading = await this.text("h1");
    const { pathname, search } = new URL(this.page.url());
    return { path: pathname + search, heading };
  }
}

export class InChromium extends Person {
  static name = "Chromium";

  static async arrive(browser, gateway, options) {
    const { page, context, faults } = await openWindow(browser, gateway, {
      origins: [gateway.home],
      ...options,
    });
    return Object.assign(new InChromium(page), { context, faults });
  }

  // Whether scripts run is a setting of each window.
  static start = () => startChromium();

  visit(url) {
    return this.page.goto(url);
  }

  press(words) {
    const named = { name: words, exact: true };
    const found = this.page.getByRole("link", named).or(this.page.getByRole("button", named));
    return found.first().click();
  }

  fill(selector, text) {
    return this.page.fill(selector, text);
  }

  tick(selector) {
    return this.page.check(selector);
  }

  text(selector) {
    return this.page.locator(selector).first().textContent({ timeout: 1000 });
  }

  leave() {
    return closeWindow(this);
  }
}

export class InFirefox extends Person {
  static name = "Firefox";

  static start = startFirefox;

  static async arrive(browser, gateway) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const person = Object.assign(new InFirefox(page), { context });
    const origins = new Set([gateway.origin, gateway.home]);
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && !origins.has(url.origin)) {
        person.faults.push(`asked for ${url}`);
      }
    });
    page.on("console", (message) => {
      if (message.type() === "error") person.faults.push(message.text());
    });
    // What the policy of a page has stopped is told as an error too.
    page.on("pageerror", (error) => person.faults.push(String(error)));
    return person;
  }

  visit(url) {
    return this.page.goto(url, { waitUntil: "domcontentloaded" });
  }

  // Found and pressed by hand, because what looks for elements in Firefox needs scripts. Before the
  // styles are there, everything stands elsewhere.
  async press(words) {
    const find = (wanted) => {
      if (document.readyState !== "complete") return null;
      const all = [...document.querySelectorAll("a, button")];
      const found = all.find((element) => element.textContent.trim() === wanted);
      if (!found) return null;
      found.scrollIntoView({ block: "center" });
      const { x, y, width, height } = found.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    };
    const place = await until(words, () => this.page.evaluate(find, words));
    await this.page.mouse.click(place.x, place.y);
  }

  async fill(selector, text) {
    await this.page.waitForSelector(selector);
    await this.page.type(selector, text);
  }

  tick(selector) {
    return this.page.click(selector);
  }

  text(selector) {
    return this.page.$eval(selector, (element) => element.textContent);
  }

  async leave() {
    await this.context.close();
    assert.deepEqual(this.faults, []);
  }
}
