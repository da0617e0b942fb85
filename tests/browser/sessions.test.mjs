// How a session begins, is replaced and ends, in Chromium.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { fill, follow, heading, inWindow, press } from "./acts.mjs";
import { closeWindow, openWindow, startChromium } from "./browsers.mjs";
import { Gateway, PAGES } from "./gateway.mjs";

let gateway, browser;
before(async () => {
  [gateway, browser] = await Promise.all([Gateway.start(), startChromium()]);
});
after(async () => {
  await browser?.close();
  await gateway?.close();
});

// Has somebody do something in a window with a session of their own.
const inside = (options, does) => inWindow(browser, gateway, options, does);

test("a link that opens in the background waits until somebody looks at it", async () => {
  const window = await openWindow(browser, gateway);
  const { page, context } = window;
  await context.addInitScript(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
  });
  const { link } = await gateway.mint();
  await page.goto(link);
  await heading(page, "Manage API keys");
  // Long enough for what a script does by itself.
  await page.waitForTimeout(300);
  await heading(page, "Manage API keys");
  await page.evaluate(() => {
    delete document.visibilityState;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await heading(page, "API Keys");
  await closeWindow(window);
});

test("a session that may only read shows no way to change anything", () =>
  inside({ wish: { permissions: ["keys.read"] } }, async (page) => {
    const { id } = await gateway.key({ name: "Only read" });
    for (const path of ["/keys", `/keys/${id}`]) {
      await page.goto(gateway.origin + path);
      await page.getByText("Only read").first().waitFor();
      const ways = page.getByRole("main").locator("form[method=post], [href$=revoke], [href$=new]");
      assert.equal(await ways.count(), 0, path);
    }
    await page.goto(`${gateway.origin}/keys/new`);
    await heading(page, "Not permitted");
  }));

test("a form of a session that was replaced in another tab does nothing and says so", () =>
  inside({}, async (page, { context }) => {
    await fill(page, gateway, "Of the session before");
    const { link } = await gateway.mint({ organization: "org_other" });
    const { pathname, search } = new URL(link);
    const tab = await context.newPage();
    await tab.goto(`${gateway.origin}/keys`);
    await tab.goto(gateway.origin + pathname + search);
    await press(tab, "Continue");
    await heading(tab, "API Keys");
    await press(page, "Create key");
    await heading(page, "Another session is open");
    await page.getByText("Nothing was done.").waitFor();
    const { keys } = await gateway.call("ops", "GET", "/v1/keys?limit=1000");
    assert.ok(keys.every((key) => key.name !== "Of the session before"));
  }));

test("a session that has ended says so on an open page and leads back", () =>
  inside({ origins: ["http://desk.localhost"] }, async (page, { session, faults }) => {
    await fill(page, gateway, "Too late");
    await gateway.call("product", "DELETE", `/v1/portal/sessions/${session.id}`);
    await press(page, "Create key");
    await heading(page, "Your session has ended");
    assert.ok(!(await page.content()).includes("org_acme"));
    await follow(page, "Back");
    await page.waitForURL(`${gateway.home}/settings`);
    // The one request that leads elsewhere was asked for by a person.
    assert.deepEqual(faults.splice(0), [`asked for ${gateway.home}/settings`]);
  }));

test("a person who signs out is led back, and the way back to the page is closed", () =>
  inside({}, async (page) => {
    await page.goto(`${gateway.origin}/keys`);
    await press(page, "Sign out");
    await heading(page, "You have signed out");
    await page.goBack();
    await heading(page, "Your session has ended");
  }));

test("the cookie of the session is out of reach of scripts and other hosts", () =>
  inside({}, async (page, { context }) => {
    await page.goto(`${gateway.origin}/keys`);
    assert.equal(await page.evaluate(() => document.cookie), "");
    assert.deepEqual((await context.cookies()).map(({ domain }) => domain), [PAGES]);
    assert.deepEqual(await context.cookies(`http://api.localhost:${gateway.port}`), []);
  }));
