// Every page: valid, accessible in light and dark, with and without scripts, as narrow as 320
// pixels, and alone with its own origin.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import axe from "axe-core";
import { HtmlValidate } from "html-validate";

import { closeWindow, openWindow, overhang, startChromium } from "./browsers.mjs";
import { Gateway } from "./gateway.mjs";
import { continuePage, furnish, pagesOf } from "./pages.mjs";

const validator = new HtmlValidate({
  extends: ["html-validate:standard", "html-validate:a11y"],
  rules: { "no-inline-style": "error" },
});

let gateway, browser, keys;
before(async () => {
  [gateway, browser] = await Promise.all([Gateway.start(), startChromium()]);
  keys = await furnish(gateway);
});
after(async () => {
  await browser?.close();
  await gateway?.close();
});

async function validate(html) {
  const { results } = await validator.validateString(html);
  const found = results.flatMap(({ messages }) => messages)
    .map(({ line, ruleId, message }) => `line ${line}, ${ruleId}: ${message}`);
  assert.deepEqual(found, []);
}

// Throws what axe finds on a page by these rules, or by all.
async function scan(page, what, rules) {
  const found = await page.evaluate(async (names) => {
    const runOnly = names && { type: "rule", values: names };
    const options = { resultTypes: ["violations"], ...(runOnly && { runOnly }) };
    const { violations } = await axe.run(options);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`);
  }, rules);
  assert.deepEqual(found, [], what);
}

// Looks at a page in light and dark, wide and narrow. Only colours differ between light and dark,
// and only what stands beside what between wide and narrow.
async function look(page) {
  await page.evaluate(axe.source);
  await page.emulateMedia({ colorScheme: "light" });
  await scan(page, "light");
  await page.emulateMedia({ colorScheme: "dark" });
  await scan(page, "dark", ["color-contrast", "link-in-text-block"]);
  await page.setViewportSize({ width: 320, height: 700 });
  assert.equal(await overhang(page), 0, "it is wider than 320 pixels");
  await scan(page, "narrow", ["target-size"]);
  await page.setViewportSize({ width: 1280, height: 900 });
}

// `pagesOf` needs a gateway that runs, so its names are read from one that does not.
const names = pagesOf({ origin: "" }, {});

for (const scripted of [true, false]) {
  describe(scripted ? "with scripts" : "without scripts", () => {
    let window, html;
    before(async () => {
      const session = await gateway.session();
      const options = { session, reducedMotion: "reduce", viewport: { width: 1280, height: 900 } };
      window = await openWindow(browser, gateway, options);
      // Axe is a script itself, so scripts are not forbidden: that of the pages is empty.
      if (!scripted) {
        const nothing = { contentType: "text/javascript", body: "" };
        await window.context.route("**/*.js", (route) => route.fulfill(nothing));
      }
      window.page.on("response", (response) => {
        const isPage = response.request().resourceType() === "document";
        if (isPage && response.status() !== 303) html = response.text();
        html?.catch(() => {});
      });
    });
    after(async () => {
      await closeWindow(window);
    });

    for (const [number, { name, scripts = true, empty }] of names.entries()) {
      if (scripted && !scripts) continue;
      test(`${name}: valid, accessible, as narrow as a telephone`, async () => {
        const { page, context } = window;
        if (empty) await context.addCookies([await cookieOf({ organization: "org_empty" })]);
        await pagesOf(gateway, keys)[number].open(page);
        await page.waitForLoadState();
        if (!scripted) await validate(await html);
        await look(page);
        if (empty) await context.addCookies([await cookieOf({})]);
      });
    }
  });
}

// Returns the cookie of a session of its own.
async function cookieOf(wish) {
  const { cookie } = await gateway.session(wish);
  const { hostname } = new URL(gateway.origin);
  const strict = { secure: true, httpOnly: true, sameSite: "Strict" };
  return { ...cookie, domain: hostname, path: "/", ...strict };
}

test("the page that goes on by itself is valid", async () => {
  await validate(await continuePage(gateway));
});

test("forced colours leave no button, field or state without a border", async () => {
  const options = { session: await gateway.session(), forcedColors: "active" };
  const window = await openWindow(browser, gateway, options);
  for (const path of ["/keys", "/keys/new", `/keys/${keys.used.id}`]) {
    await window.page.goto(gateway.origin + path);
    const bare = await window.page.evaluate(() => {
      const all = "button:not(.quiet), .button, .badge, .panel, input:not([type=hidden])";
      const isBare = (element) =>
        element.checkVisibility() && !/checkbox|radio/.test(element.type ?? "") &&
        getComputedStyle(element).borderTopStyle === "none";
      return [...document.querySelectorAll(all)].filter(isBare).map(({ outerHTML }) => outerHTML);
    });
    assert.deepEqual(bare, [], path);
  }
  await closeWindow(window);
});
