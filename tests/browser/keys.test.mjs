// What a person does with keys in Chromium: from making one to the request that is refused.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { fill, follow, heading, inWindow, make, press } from "./acts.mjs";
import { overhang, startChromium, until } from "./browsers.mjs";
import { Gateway, ask } from "./gateway.mjs";

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
const row = (page, name) => page.getByRole("row").filter({ hasText: name });

test("a key is made, copied, used, found as used, revoked, and refused at once", () =>
  inside({ permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
    await fill(page, gateway, "CRM integration");
    const sentence = page.locator(".sentences");
    const said = "This makes the key “CRM integration”. It is a test key. It may use tickets:read.";
    assert.ok((await sentence.textContent()).startsWith(said), await sentence.textContent());

    await press(page, "Create key");
    await heading(page, "Your API key");
    await press(page, "Copy key");
    await page.getByText("Copied.", { exact: true }).waitFor();
    const key = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(key, /^sk_test_\w+$/);
    assert.equal(await page.locator("#new-key").textContent(), key);
    await press(page, "Copy call");
    const call = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok(call.startsWith("curl ") && call.includes(key), call);
    assert.equal(await gateway.tickets(key), 200);

    await follow(page, "I have stored it");
    await heading(page, "CRM integration");
    await follow(page, "API Keys");
    await heading(page, "API Keys");
    const shown = row(page, "CRM integration");
    assert.match(await shown.locator("[data-label='Last used']").innerText(), /^just now/);
    assert.ok(!(await page.content()).includes(key), "the key is shown once");

    await shown.getByRole("link", { name: "Revoke" }).click();
    const button = page.getByRole("button", { name: "Revoke key" });
    assert.ok(await button.isDisabled());
    await page.getByLabel("Type the name").fill("CRM");
    assert.ok(await button.isDisabled());
    await page.getByLabel("Type the name").fill("CRM integration");
    await button.click();
    await page.getByText("The key is revoked.").waitFor();
    assert.equal(await gateway.tickets(key), 401);
    await follow(page, "API Keys");
    await heading(page, "API Keys");
    assert.equal(await row(page, "CRM integration").count(), 0);
  }));

test("a button that cannot be pressed yet does not look as if it could", () =>
  inside({ reducedMotion: "reduce" }, async (page) => {
    const { id, text } = await gateway.key({ name: "Pale" });
    await gateway.tickets(text);
    await page.goto(`${gateway.origin}/keys/${id}/revoke`);
    const button = page.getByRole("button", { name: "Revoke key" });
    const colour = () => button.evaluate((element) => getComputedStyle(element).backgroundColor);
    const pale = await colour();
    await page.getByLabel("Type the name").fill("Pale");
    assert.ok(await button.isEnabled());
    assert.notEqual(await colour(), pale);
  }));

test("the call that is shown works when it is pasted", () =>
  inside({}, async (page) => {
    await make(page, gateway, "Pasted");
    const call = await page.locator("#curl").innerText();
    const { host, pathname } = new URL(call.split(" ").at(-1));
    const [, name, value] = /-H '([^:]+): ([^']+)'/.exec(call);
    assert.equal(host, `api.localhost:${gateway.port}`);
    const answer = await ask(gateway.port, pathname, { host, headers: { [name]: value } });
    assert.equal(answer.status, 200, `${pathname}: ${answer.text}`);
  }));

test("a browser that does not allow copying is told so, and the key is selected", () =>
  inside({}, async (page, { context }) => {
    const cdp = await context.newCDPSession(page);
    const { browserContextId } = (await cdp.send("Target.getTargetInfo")).targetInfo;
    const setting = { permission: { name: "clipboard-write" }, setting: "denied" };
    const place = { origin: gateway.origin, browserContextId };
    await cdp.send("Browser.setPermission", { ...setting, ...place });
    const key = await make(page, gateway, "Not copied");
    await press(page, "Copy key");
    await page.getByText("Your browser did not allow copying.").waitFor();
    assert.equal(await page.evaluate(() => getSelection().toString()), key);
  }));

test("a key that was shown is not shown again, by a reload or on the way back", () =>
  inside({}, async (page) => {
    const key = await make(page, gateway, "Once");
    // The browser sends the form again, as after a question that a person has answered with yes.
    // That takes a while: a moment that is reckoned from now is another one then.
    await page.waitForTimeout(1100);
    await page.reload();
    await heading(page, "This key was made already");
    assert.ok(!(await page.content()).includes(key));
    await follow(page, "View key");
    await heading(page, "Once");
    // A browser does not keep the page, and asks before it sends the form again.
    await page.goBack().catch(() => {});
    await page.goBack().catch(() => {});
    const shown = await until("what is shown on the way back", () => page.content());
    assert.ok(!shown.includes(key));
    await page.goto(`${gateway.origin}/keys`);
    assert.equal(await row(page, "Once").count(), 1);
  }));

test("a form that is sent twice makes one key", () =>
  inside({}, async (page) => {
    await fill(page, gateway, "Twice");
    const button = page.getByRole("button", { name: "Create key" });
    await button.dblclick();
    await heading(page, "Your API key");
    await follow(page, "API Keys");
    await row(page, "Twice").waitFor();
    assert.equal(await row(page, "Twice").count(), 1);
  }));

test("without scripts a sentence is read before the key is made", () =>
  inside({ javaScriptEnabled: false }, async (page) => {
    await fill(page, gateway, "Without scripts");
    await press(page, "Continue");
    await heading(page, "Check the new API key");
    const said = await page.locator(".sentences").textContent();
    assert.match(said, /“Without scripts”.*a test key.*tickets:read.*expires on/s);
    await press(page, "Change");
    await heading(page, "New API key");
    assert.equal(await page.getByLabel("Name").inputValue(), "Without scripts");
    assert.ok(await page.getByRole("checkbox", { name: "tickets:read" }).isChecked());
    await press(page, "Continue");
    await press(page, "Create key");
    await heading(page, "Your API key");
    const key = await page.locator("#new-key").textContent();
    assert.ok(!(await page.getByRole("button", { name: "Copy key" }).isVisible()));
    assert.equal(await gateway.tickets(key), 200);

    await follow(page, "I have stored it");
    await follow(page, "Revoke");
    await page.getByLabel("Type the name").fill("Without");
    await press(page, "Revoke key");
    await page.getByRole("link", { name: "This is not the name of the key" }).waitFor();
    assert.equal(await gateway.tickets(key), 200);
    await page.getByLabel("Type the name").fill("Without scripts");
    await press(page, "Revoke key");
    await page.getByText("The key is revoked.").waitFor();
    assert.equal(await gateway.tickets(key), 401);
  }));

test("a script and the server say the same sentences", () =>
  inside({}, async (page) => {
    await fill(page, gateway, "Two ‘quotes’ & <b>");
    await page.getByRole("checkbox", { name: "tickets:write" }).check();
    await page.getByRole("radio", { name: "Never" }).check();
    await page.locator("summary", { hasText: "Restrictions" }).click();
    await page.getByLabel("Allowed IP addresses").fill("203.0.113.0/24\n2001:db8::/48\n");
    await page.getByLabel("Allowed endpoints").fill("GET /v1/tickets");
    await page.getByLabel("Rate limit").fill("20/min, 100/day");
    const script = await page.locator(".sentences").textContent();
    // The form without what the script did to it.
    await page.evaluate(() => {
      const review = document.createElement("input");
      Object.assign(review, { type: "hidden", name: "review", value: "1" });
      document.querySelector("form[data-sentences]").append(review);
    });
    await press(page, "Create key");
    await heading(page, "Check the new API key");
    assert.equal(await page.locator(".sentences").textContent(), script);
  }));

test("what is wrong with a form stands beside its fields and has the focus", () =>
  inside({}, async (page) => {
    await fill(page, gateway, "Wrong");
    await page.getByLabel("Name").fill("");
    await page.locator("summary", { hasText: "Restrictions" }).click();
    await page.getByLabel("Allowed IP addresses").fill("nowhere");
    await press(page, "Create key");
    await page.getByRole("heading", { name: "Please check these fields" }).waitFor();
    assert.match(await page.title(), /^Error: /);
    await page.waitForFunction(() => document.activeElement.matches(".errors"));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.id === "name");
    const addresses = page.getByLabel("Allowed IP addresses");
    assert.equal(await addresses.inputValue(), "nowhere");
    assert.equal(await addresses.getAttribute("aria-invalid"), "true");
    assert.ok(await addresses.isVisible());
  }));

test("a key is paused, resumed, edited and rotated", () =>
  inside({}, async (page) => {
    const key = await make(page, gateway, "Changing");
    await follow(page, "I have stored it");
    await press(page, "Pause");
    await page.getByRole("button", { name: "Resume" }).waitFor();
    assert.equal(await gateway.tickets(key), 401);
    await press(page, "Resume");
    await page.getByRole("button", { name: "Pause" }).waitFor();
    assert.equal(await gateway.tickets(key), 200);

    await follow(page, "Edit");
    await page.getByLabel("Name").fill("Changed");
    await page.getByRole("checkbox", { name: "tickets:read" }).uncheck();
    await page.getByRole("checkbox", { name: "tickets:write" }).check();
    await press(page, "Save changes");
    await heading(page, "Changed");
    assert.equal(await gateway.tickets(key), 403);
    assert.equal(await gateway.tickets(key, { method: "POST" }), 200);

    await follow(page, "Rotate");
    await page.getByRole("radio", { name: "At once" }).check();
    await press(page, "Rotate key");
    await heading(page, "Your API key");
    const next = await page.locator("#new-key").textContent();
    assert.equal(await gateway.tickets(key, { method: "POST" }), 401);
    assert.equal(await gateway.tickets(next, { method: "POST" }), 200);
  }));

test("a key expires on the day that was typed, and in no day of the past", () =>
  inside({}, async (page) => {
    await fill(page, gateway, "Until a day");
    await page.getByRole("radio", { name: "On a date" }).check();
    await page.getByLabel("Date", { exact: true }).fill("2020-02-29");
    await press(page, "Create key");
    await page.locator(".errors").waitFor();
    const day = new Date(Date.now() + 10 * 86_400_000).toISOString().slice(0, 10);
    await page.getByLabel("Date", { exact: true }).fill(day);
    await press(page, "Create key");
    await heading(page, "Your API key");
    const { keys } = await gateway.call("ops", "GET", "/v1/keys?limit=1000");
    const { expires_at } = keys.find((key) => key.name === "Until a day");
    assert.ok(expires_at.startsWith(day), expires_at);
  }));

test("a key that was revoked stays revoked when the page is loaded again", () =>
  inside({}, async (page) => {
    const { id } = await gateway.key({ name: "Ended" });
    await page.goto(`${gateway.origin}/keys/${id}/revoke`);
    await press(page, "Revoke key");
    await page.getByText("The key is revoked.").waitFor();
    await page.reload();
    await heading(page, "Ended");
    await page.goBack();
    await page.goto(`${gateway.origin}/keys/${id}`);
    await page.getByText("Revoked", { exact: true }).first().waitFor();
    assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);
  }));

test("a key that is looked for does not leave the browser", () =>
  inside({}, async (page, { context }) => {
    const key = await gateway.key({ name: "Leaked" });
    const bodies = [];
    context.on("request", (request) => bodies.push(request.url() + (request.postData() ?? "")));
    await page.goto(`${gateway.origin}/find`);
    await page.getByLabel("Key, or its SHA-256").fill(` Bearer ${key.text} `);
    await press(page, "Find key");
    await page.getByRole("heading", { name: "This is one of your keys" }).waitFor();
    await page.getByRole("link", { name: "Leaked", exact: true }).waitFor();
    assert.ok(bodies.length > 2 && bodies.every((body) => !body.includes(key.text)));
    await follow(page, "Revoke");
    // It was never used, so nothing has to be typed.
    await press(page, "Revoke key");
    await page.getByText("The key is revoked.").waitFor();
    assert.equal(await gateway.tickets(key.text), 401);
  }));

test("the keyboard alone makes a key and revokes it", () =>
  inside({}, async (page) => {
    const keyboard = page.keyboard;
    const focused = () => page.evaluate(() => {
      const element = document.activeElement;
      const label = element.labels?.[0] ?? element;
      const outline = getComputedStyle(element).outlineStyle;
      return { words: label.innerText.trim().split("\n")[0], outline };
    });
    // Presses Tab until something with these words has the focus, and looks that this is seen.
    const reach = async (words) => {
      for (let pressed = 0; pressed < 60; pressed += 1) {
        await keyboard.press("Tab");
        const { words: seen, outline } = await focused();
        // The parts of a date are shown by the browser itself.
        assert.ok(outline !== "none" || seen === "Date", `nothing shows that ${seen} is focused`);
        if (seen === words) return;
      }
      assert.fail(`${words} is not reached`);
    };
    await page.goto(`${gateway.origin}/keys`);
    await keyboard.press("Tab");
    await keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "content");
    await reach("New API key");
    await keyboard.press("Enter");
    await heading(page, "New API key");
    await reach("Name");
    await keyboard.type("By keyboard");
    await reach("tickets:read");
    await keyboard.press("Space");
    await reach("Create key");
    await keyboard.press("Enter");
    await heading(page, "Your API key");
    const key = await page.locator("#new-key").textContent();
    assert.equal(await gateway.tickets(key), 200);
    await reach("I have stored it");
    await keyboard.press("Enter");
    await heading(page, "By keyboard");
    await reach("Revoke");
    await keyboard.press("Enter");
    await heading(page, "Revoke API key");
    await reach("Type the name of the key");
    await keyboard.type("By keyboard");
    await reach("Revoke key");
    await keyboard.press("Space");
    await page.getByText("The key is revoked.").waitFor();
    assert.equal(await gateway.tickets(key), 401);
  }));

for (const [what, name] of [
  ["markup", `<img src=x onerror=alert(1)><script>alert(2)</script>"'&amp;`],
  ["letters from right to left", "مفتاح التكامل 7"],
  ["two hundred letters without a space", "w".repeat(200)],
]) {
  test(`a name of ${what} is shown as it is, wherever it stands`, () =>
    inside({ viewport: { width: 320, height: 700 } }, async (page) => {
      await make(page, gateway, name);
      const { id } = (await gateway.call("ops", "GET", "/v1/keys?limit=1000")).keys
        .find((key) => key.name === name);
      for (const path of ["/keys", `/keys/${id}`, "/audit"].concat(
        ["edit", "rotate", "revoke"].map((action) => `/keys/${id}/${action}`),
      )) {
        await page.goto(gateway.origin + path);
        const shown = path.endsWith("/edit")
          ? await page.getByLabel("Name").inputValue()
          : await page.getByText(name, { exact: true }).first().textContent();
        assert.equal(shown, name, path);
        assert.equal(await overhang(page), 0, path);
      }
    }));
}
