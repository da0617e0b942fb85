// Every page of the portal, in every state that looks different, and how a person comes to it.
// Each way works with and without scripts.
import { ask } from "./gateway.mjs";

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

// Fills a gateway with keys in different states. Returns what the ways need to know.
export async function furnish(gateway) {
  const many = ["customers:read", "tickets:read", "tickets:write"];
  const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const used = await gateway.key({ name: "CRM integration", scopes: many });
  const expires_at = `${day(9)}T23:59:59Z`;
  const unused = await gateway.key({ name: "Nightly export", environment: "live", expires_at });
  const narrow = await gateway.key({
    name: "Website form",
    allow_ips: ["203.0.113.0/24", "2001:db8::/48"],
    allow_referrers: ["https://www.example.com/*"],
    allow_endpoints: ["GET /v1/tickets"],
    rate_limit: ["20/min"],
  });
  const rotating = await gateway.key({ name: "Warehouse" });
  const paused = await gateway.key({ name: "Old importer", scopes: [] });
  const revoked = await gateway.key({ name: "Intern’s laptop" });
  await gateway.call("ops", "POST", `/v1/keys/${rotating.id}/rotate`, { grace: "24h" });
  await gateway.call("ops", "POST", `/v1/keys/${paused.id}/pause`);
  const reason = "It was in a public repository";
  await gateway.call("ops", "POST", `/v1/keys/${revoked.id}/revoke`, { reason });
  await gateway.tickets(used.text);
  return { used, unused, narrow, rotating, paused, revoked };
}

async function fill(page, origin, name) {
  await page.goto(`${origin}/keys/new`);
  await page.getByLabel("Name").fill(name);
  await page.getByRole("checkbox", { name: "tickets:read" }).check();
}

// Presses what makes the key, and what leads there without scripts.
async function create(page) {
  const review = page.getByRole("button", { name: "Continue", exact: true });
  if (await review.isVisible()) await review.click();
  await press(page, "Create key");
  await page.locator("#new-key").waitFor();
}

// Sends the form that is shown, although the page thinks that it is not complete.
async function send(page, name) {
  const button = page.getByRole("button", { name, exact: true });
  await button.evaluate((element) => { element.disabled = false; });
  await button.click();
}

// Returns the pages: a name, and the way to it. `session` is what the session of the window may
// differ in; `empty` is one of another organisation, without keys.
export function pagesOf(gateway, keys) {
  const { origin } = gateway;
  const at = (path) => (page) => page.goto(origin + path);
  const key = (name, path = "") => (page) => at(`/keys/${keys[name].id}${path}`)(page);
  return [
    { name: "the keys", open: at("/keys") },
    { name: "the keys of nobody", empty: true, open: at("/keys") },
    { name: "the keys that expire soon", open: at("/keys?expiring=true") },
    { name: "no key that matches", open: at("/keys?name=nothing") },
    { name: "the revoked keys", open: at("/keys?status=revoked") },
    { name: "the form of a new key", open: at("/keys/new") },
    {
      name: "the form of a new key with mistakes",
      async open(page) {
        await fill(page, origin, "");
        await page.locator("summary", { hasText: "Restrictions" }).click();
        await page.getByLabel("Allowed IP addresses").fill("nowhere");
        await page.getByLabel("Rate limit").fill("many");
        await page.locator("form.panel button.primary").click();
        await page.locator(".errors").waitFor();
      },
    },
    {
      name: "the question before a key is made",
      scripts: false,
      async open(page) {
        await fill(page, origin, "Reviewed");
        await press(page, "Continue");
        await page.locator("p.sentences").waitFor();
      },
    },
    {
      name: "a new key",
      async open(page) {
        await fill(page, origin, "Billing");
        await create(page);
      },
    },
    {
      name: "a key that was rotated",
      async open(page) {
        const { id } = await gateway.key({ name: "Rotated" });
        await page.goto(`${origin}/keys/${id}/rotate`);
        await press(page, "Rotate key");
        await page.locator("#new-key").waitFor();
      },
    },
    {
      name: "a key that was made already",
      async open(page) {
        const { id } = await gateway.key({ name: "Made already" });
        await page.goto(`${origin}/keys/${id}/rotate`);
        await press(page, "Rotate key");
        await page.locator("#new-key").waitFor();
        await page.reload();
        await page.getByRole("link", { name: "View key" }).waitFor();
      },
    },
    { name: "a key", open: key("used") },
    { name: "a narrow key", open: key("narrow") },
    { name: "a key with two secrets", open: key("rotating") },
    { name: "a paused key", open: key("paused") },
    { name: "a revoked key", open: key("revoked") },
    { name: "the form of a key", open: key("narrow", "/edit") },
    { name: "the rotation of a key", open: key("used", "/rotate") },
    { name: "the revocation of a key", open: key("unused", "/revoke") },
    { name: "the revocation of a key that is in use", open: key("used", "/revoke") },
    {
      name: "the revocation with another name",
      async open(page) {
        await key("used", "/revoke")(page);
        await page.getByLabel("Type the name").fill("CRM");
        await send(page, "Revoke key");
        await page.locator(".errors").waitFor();
      },
    },
    { name: "the use of all keys", open: at("/use") },
    { name: "the audit log", open: at("/audit") },
    { name: "an empty audit log", open: at("/audit?subject=nobody") },
    { name: "the search for a leaked key", open: at("/find") },
    {
      name: "a leaked key that was found",
      async open(page) {
        await at("/find")(page);
        await page.getByLabel("Key, or its SHA-256").fill(keys.used.text);
        await press(page, "Find key");
        await page.locator("#found-title").waitFor();
      },
    },
    {
      name: "a leaked key that was not found",
      async open(page) {
        await at("/find")(page);
        await page.getByLabel("Key, or its SHA-256").fill("nothing of that kind");
        await press(page, "Find key");
        await page.locator("#found-title").waitFor();
      },
    },
    {
      name: "the search for nothing",
      async open(page) {
        await at("/find")(page);
        await press(page, "Find key");
        await page.locator(".errors").waitFor();
      },
    },
    { name: "a page that is not there", open: at("/nothing") },
    { name: "a key that is not there", open: at("/keys/key_none") },
    {
      name: "a link",
      scripts: false,
      async open(page) {
        const { link } = await gateway.mint();
        await page.goto(link);
      },
    },
    {
      name: "a link for somebody else",
      async open(page) {
        const actor = { id: "user_9", name: "Kim Roe" };
        const { link } = await gateway.mint({ organization: "org_other", actor });
        // Not from elsewhere, so that the session that is open is seen.
        await page.goto(`${origin}/keys`);
        await page.goto(link);
      },
    },
    { name: "a link that was used", open: at("/open?code=open_used") },
    {
      name: "an ended session",
      async open(page) {
        await page.context().clearCookies();
        await page.goto(`${origin}/keys`);
      },
    },
  ];
}

// The page that goes on by itself is gone before a browser can be asked for it.
export async function continuePage(gateway) {
  const headers = { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate" };
  const host = new URL(gateway.origin).host;
  return (await ask(gateway.port, "/keys/new", { host, headers })).text;
}
