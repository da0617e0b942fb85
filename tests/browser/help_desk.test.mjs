// The real help desk of examples/django-helpdesk: a member of staff signs in, finds API Keys in the
// settings, and makes a key for the desk's own API, which is behind the gateway.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { openWindow, startChromium } from "./browsers.mjs";
import { Gateway, ask, newToken, serve } from "./gateway.mjs";

const project = fileURLToPath(new URL("../..", import.meta.url));
const example = join(project, "examples/django-helpdesk");

// Returns a port that nobody listens on. The links of sessions name the port of the file, so it
// cannot be left to the system here.
async function freePort() {
  const { port, close } = await serve(() => {});
  await close();
  return port;
}

// Replaces the only occurrence of a text, so that a change of the example is noticed.
function replace(text, wanted, by) {
  assert.equal(text.split(wanted).length, 2, `${wanted} in the example`);
  return text.replace(wanted, () => by);
}

// Starts the desk in a folder. Returns its process and its port.
async function startDesk(folder, env) {
  const python = join(project, "target/test-tools/python/bin/python");
  const child = spawn(join(example, "run.sh"), [folder, "0"], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, DESK_PYTHON: python, ...env },
  });
  const said = [];
  const port = await new Promise((resolve, reject) => {
    child.on("exit", () => reject(new Error(`the desk ended:\n${said.join("\n")}`)));
    createInterface(child.stderr).on("line", (line) => {
      said.push(line);
      const [, found] = /Listening at: http:\/\/127\.0\.0\.1:(\d+)/.exec(line) ?? [];
      if (found) resolve(Number(found));
    });
  });
  child.removeAllListeners("exit");
  return { child, port };
}

let folder, desk, gateway, browser;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "keygate-desk-"));
  const [data, admin] = [await freePort(), await freePort()];
  const token = newToken();
  desk = await startDesk(folder, {
    KEYGATE_ADMIN: `http://127.0.0.1:${admin}`,
    KEYGATE_ADMIN_TOKEN: token.secret,
  });
  let file = await readFile(join(example, "gateway.toml"), "utf8");
  // The last lines are for these pages. They are made what a person makes of them.
  const [above, below] = file.split("paste the digest of the desk's token.\n#\n");
  file = `${above}\n${below.replaceAll(/^#/gm, "")}`;
  file = replace(file, "http://localhost:8000", `http://localhost:${desk.port}`);
  file = replace(file, "\"http://127.0.0.1:8000\"", `"http://127.0.0.1:${desk.port}"`);
  file = replace(file, "\"127.0.0.1:8080\"", `"127.0.0.1:${data}"`);
  file = replace(file, "\"127.0.0.1:9190\"", `"127.0.0.1:${admin}"`);
  file = replace(file, "sha256 = \"…\"", `sha256 = "${token.digest}"`);
  const [, login] = /'(.+)'/.exec(await readFile(join(folder, "desk.env"), "utf8"));
  const env = { DESK_AUTH: login };
  const starting = Gateway.start({ file: () => file, env });
  [gateway, browser] = await Promise.all([starting, startChromium()]);
});
after(async () => {
  await browser?.close();
  await gateway?.close();
  if (desk) {
    const ended = once(desk.child, "exit");
    desk.child.kill("SIGTERM");
    await ended;
  }
  await rm(folder, { recursive: true });
});

test("a member of staff makes a key for the desk's API and revokes it", async () => {
  const home = `http://localhost:${desk.port}`;
  const { context, page, faults } = await openWindow(browser, gateway, { origins: [home] });
  const [name, password] = (await readFile(join(folder, "staff.txt"), "utf8")).trim().split(" ");
  await page.goto(`${home}/login/?next=/settings/`);
  await page.getByLabel("Username").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.locator("form[method=post] [type=submit]").first().click();
  await page.waitForURL(`${home}/settings/`);
  // What the desk's own pages miss is not looked at: without a web server they have no styles.
  faults.splice(0);

  await page.getByRole("link", { name: "API Keys", exact: true }).click();
  await page.getByRole("heading", { name: "No API keys yet" }).waitFor();
  assert.match(await page.locator(".viewer").innerText(), /org_acme\s+as Sam Doe/);
  await page.getByRole("link", { name: "New API key" }).first().click();
  await page.getByLabel("Name").fill("Ticket board");
  await page.getByRole("checkbox", { name: "tickets:read" }).check();
  await page.getByRole("button", { name: "Create key" }).click();
  const key = await page.locator("#new-key").textContent();

  const headers = { Authorization: `Bearer ${key}` };
  const tickets = () => ask(gateway.port, "/api/tickets/", { headers });
  const answer = await tickets();
  assert.equal(answer.status, 200, answer.text);
  assert.ok(JSON.parse(answer.text).count >= 3, answer.text);
  assert.equal((await ask(gateway.port, "/api/tickets/", { headers, method: "POST" })).status, 403);

  await page.getByRole("link", { name: "I have stored it" }).click();
  await page.getByRole("link", { name: "Revoke" }).click();
  await page.getByLabel("Type the name").fill("Ticket board");
  await page.getByRole("button", { name: "Revoke key" }).click();
  await page.getByText("The key is revoked.").waitFor();
  assert.equal((await tickets()).status, 401);
  assert.deepEqual(faults.splice(0), []);

  await page.getByRole("link", { name: "Back" }).click();
  await page.waitForURL(`${home}/settings/`);
  await context.close();
});
