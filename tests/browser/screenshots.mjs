// Makes docs/screenshots: every page with plainly invented keys, as on one fixed day.
//
//   KEYGATE_PROGRAM=… node tests/browser/screenshots.mjs
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { openWindow, startChromium } from "./browsers.mjs";
import { Gateway } from "./gateway.mjs";

// The moment of the pictures. What is known of keys comes from the days before it.
const NOW = Date.parse("2026-11-26T14:03:00Z") / 1000;
const MINUTE = 60;
const DAY = 86_400;

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = file("../../docs/screenshots/");

// The wall clock of the gateway is wrong by what a file says, in seconds: tests/faults/machine.c.
const faults = await mkdtemp(join(tmpdir(), "keygate-clock-"));
const machine = join(faults, "machine.so");
const compile = ["-shared", "-fPIC", "-O1", "-o", machine, file("../faults/machine.c"), "-ldl"];

// Starts the gateway again as of `ago` seconds before the moment of the pictures.
async function restart(gateway, ago) {
  await gateway.stop();
  await writeFile(join(faults, "clock"), String(NOW - ago - Math.floor(Date.now() / 1000)));
  await gateway.run();
}

// Has somebody of the organisation make a key on the pages, so that their name stands beside it.
async function make(gateway, session, name, { scopes, ...more }) {
  const usual = { environment: "live", expiry: "365d" };
  const form = new URLSearchParams({ session: session.id, idempotency: name, name, ...usual });
  for (const scope of scopes) form.append("scope", scope);
  for (const [field, value] of Object.entries(more)) form.set(field, value);
  const html = await gateway.send(session, "/keys", form);
  const key = /id="new-key"[^>]*>([^<]+)</.exec(html)?.[1];
  const id = /href="\/keys\/(key_\w+)"/.exec(html)?.[1];
  if (!key || !id) throw new Error(`no key ${name}: ${html}`);
  return { id, key };
}

// Uses a key so many times.
async function use(gateway, { key }, times = 1) {
  for (let time = 0; time < times; time += 1) await gateway.tickets(key);
}

// Lives through half a year of an organisation. Returns its keys and a session of today.
async function furnish(gateway) {
  const keys = {};
  const people = {
    sam: { id: "user_17", name: "Sam Doe" },
    kim: { id: "user_23", name: "Kim Roe" },
  };
  // Runs the gateway as of a day, and has somebody do something on the pages.
  const then = async (ago, who, does) => {
    await restart(gateway, ago);
    await does(await gateway.session({ actor: people[who] }));
  };
  const read = ["customers:read", "tickets:read"];
  const all = [...read, "tickets:write"];
  await then(171 * DAY, "sam", async (session) => {
    keys.export = await make(gateway, session, "Nightly export", { scopes: read, expiry: "never" });
    const test = { scopes: all, environment: "test" };
    keys.laptop = await make(gateway, session, "Sam’s laptop", test);
    await use(gateway, keys.export);
  });
  await then(81 * DAY, "sam", async (session) => {
    const only = { scopes: ["tickets:read"], expiry: "90d", allow_ips: "203.0.113.0/24" };
    keys.dashboard = await make(gateway, session, "Wallboard in the office", only);
    keys.crm = await make(gateway, session, "CRM integration", { scopes: all });
  });
  await then(24 * DAY, "kim", async (session) => {
    const test = { scopes: ["tickets:read", "tickets:write"], environment: "test", expiry: "90d" };
    keys.staging = await make(gateway, session, "Staging", test);
    keys.form = await make(gateway, session, "Website form", { scopes: ["tickets:write"] });
    await use(gateway, keys.staging, 3);
    const form = new URLSearchParams({ session: session.id, reason: "Left on a train" });
    await gateway.send(session, `/keys/${keys.laptop.id}/revoke`, form);
  });
  // A month of use, more on some days than on others.
  for (let ago = 23; ago >= 2; ago -= 1) {
    await restart(gateway, ago * DAY);
    await use(gateway, keys.crm, 8 + ((ago * 7) % 29));
    await use(gateway, keys.dashboard, ago % 7 < 2 ? 1 : 6);
    // It may only write, so this is refused.
    await use(gateway, keys.form, ago % 5 === 0 ? 4 : 1);
  }
  await then(2 * DAY, "kim", async (session) => {
    const form = new URLSearchParams({ session: session.id });
    await gateway.send(session, `/keys/${keys.staging.id}/pause`, form);
  });
  await then(3 * MINUTE, "sam", async () => {
    await use(gateway, keys.crm, 12);
    await use(gateway, keys.form, 2);
  });
  await restart(gateway, 0);
  return { keys, session: await gateway.session({ actor: people.sam }) };
}

// What is to be seen: the name of the picture and the way to the page.
function shots({ keys, gateway }) {
  const to = (path) => (page) => page.goto(gateway.origin + path);
  const key = (path) => (page) => page.goto(`${gateway.origin}/keys/${keys.crm.id}${path}`);
  const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
  const fill = async (page) => {
    await to("/keys/new")(page);
    await page.getByLabel("Name").fill("Chat assistant");
    await page.getByRole("checkbox", { name: "tickets:read" }).check();
    await page.getByRole("radio", { name: "In 30 days" }).check();
  };
  return [
    { name: "keys", open: to("/keys"), more: true },
    { name: "keys-revoked", open: to("/keys?status=revoked") },
    { name: "new-key", open: fill },
    {
      name: "key-shown",
      async open(page) {
        await fill(page);
        await press(page, "Create key");
        await page.locator("#new-key").waitFor();
        // No picture has a secret, not even one of a gateway that is gone.
        await page.evaluate(() => {
          const key = document.getElementById("new-key");
          const call = document.querySelector("#curl code");
          const shown = `sk_test_${"EXAMPLE".repeat(5)}`;
          call.textContent = call.textContent.replace(key.textContent, shown);
          key.textContent = shown;
        });
      },
    },
    { name: "key", open: key(""), more: true },
    { name: "edit", open: key("/edit") },
    { name: "rotate", open: key("/rotate") },
    { name: "revoke", open: key("/revoke") },
    { name: "use", open: to("/use") },
    { name: "audit", open: to("/audit") },
    {
      name: "find",
      async open(page) {
        await to("/find")(page);
        await page.getByLabel("Key, or its SHA-256").fill(keys.crm.key);
        await press(page, "Find key");
        await page.locator("#found-title").waitFor();
      },
    },
    {
      name: "open",
      async open(page) {
        const { link } = await gateway.mint({ organization: "org_beta" });
        await to("/keys")(page);
        await page.goto(link);
      },
    },
    {
      name: "ended",
      async open(page) {
        await page.context().clearCookies();
        await to("/keys")(page);
      },
    },
  ];
}

// Takes a picture of a whole page. WebP is a quarter of what PNG is, and every browser shows it.
async function picture(context, page) {
  const session = await context.newCDPSession(page);
  const { width, height } = (await session.send("Page.getLayoutMetrics")).cssContentSize;
  const clip = { x: 0, y: 0, width, height, scale: 1 };
  const form = { format: "webp", quality: 80, captureBeyondViewport: true };
  const { data } = await session.send("Page.captureScreenshot", { ...form, clip });
  await session.detach();
  return Buffer.from(data, "base64");
}

const wide = { viewport: { width: 1280, height: 800 }, colorScheme: "light" };
const narrow = { viewport: { width: 320, height: 640 }, colorScheme: "light" };
const variants = [["", wide], ["-dark", { ...wide, colorScheme: "dark" }], ["-narrow", narrow]];

execFileSync("cc", compile);
const env = { LD_PRELOAD: machine, KEYGATE_TEST_FAULTS: faults };
const [gateway, browser] = await Promise.all([Gateway.start({ env }), startChromium()]);
try {
  const { keys, session } = await furnish(gateway);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const [suffix, look] of variants) {
    const options = { session, timezoneId: "UTC", reducedMotion: "reduce", ...look };
    const { context, page } = await openWindow(browser, gateway, options);
    for (const { name, open, more } of shots({ keys, gateway })) {
      if (suffix !== "" && !more) continue;
      await open(page);
      await page.waitForLoadState();
      await writeFile(join(folder, `${name}${suffix}.webp`), await picture(context, page));
    }
    await context.close();
  }
} finally {
  await browser.close();
  await gateway.close();
  await rm(faults, { recursive: true });
}
