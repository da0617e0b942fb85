// A gateway with a portal in a folder of its own, a small API behind it, and what a product does:
// it mints sessions with its admin token. Whatever is started here ends with `close()`.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

// The hosts of the pages, of the API and of the product. Browsers find the names below `localhost`
// on this machine without asking anybody, and take each for a site of its own.
export const PAGES = "keys.localhost";
export const API = "api.localhost";
export const PRODUCT = "desk.localhost";

const project = fileURLToPath(new URL("../..", import.meta.url));
const program = process.env.KEYGATE_PROGRAM ?? join(project, "target/debug/keygate");

// How long the gateway may take to start and to stop, in milliseconds.
const PATIENCE = 60_000;

// Starts a server on a free port of loopback.
export async function serve(answer) {
  const server = http.createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { port: server.address().port, close };
}

// Sends a request to loopback and returns its answer. `host` may be any name: nothing is resolved.
// `from` is the address of this machine that the request comes from.
export function ask(port, path, more = {}) {
  const { method = "GET", host = "localhost", headers = {}, body, from } = more;
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, method, localAddress: from, agent: false };
    const request = http.request({ ...options, headers: { Host: host, ...headers } }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => { text += part; });
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
      answer.on("error", reject);
    });
    request.on("error", reject).end(body);
  });
}

// What the API answers: tickets, to whoever may ask.
function api(request, response) {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ tickets: [{ id: 7, title: "The printer is on fire" }] }));
}

// Tokens are made at run time, like keys.
export function newToken() {
  const secret = randomBytes(24).toString("hex");
  return { secret, digest: createHash("sha256").update(secret).digest("hex") };
}

function token(name, role) {
  const { secret, digest } = newToken();
  const block = `\n[[admin.token]]\nname = "${name}"\nrole = "${role}"\nsha256 = "${digest}"\n`;
  return { secret, block };
}

const scopes = `
[api.scopes."customers:read"]
description = "View customers and their contacts"
allows = ["GET /v1/customers", "GET /v1/customers/*"]

[api.scopes."tickets:read"]
description = "View tickets and what was answered"
allows = ["GET /v1/tickets", "GET /v1/tickets/*"]

[api.scopes."tickets:write"]
description = "Create and update tickets"
allows = ["POST /v1/tickets", "PATCH /v1/tickets/*"]
`;

export class Gateway {
  // Starts a gateway in front of the API. `env` are variables for it.
  // `file(text)` may change the text of its file.
  static async start({ env = {}, file = (text) => text } = {}) {
    const gateway = new Gateway();
    gateway.upstream = await serve(api);
    gateway.product = await serve((request, response) => gateway.#product(request, response));
    gateway.home = `http://${PRODUCT}:${gateway.product.port}`;
    gateway.folder = await mkdtemp(join(tmpdir(), "keygate-browser-"));
    gateway.tokens = { product: token("product", "portal"), ops: token("ops", "manage") };
    gateway.env = env;
    await writeFile(join(gateway.folder, "gateway.toml"), file(gateway.settings()));
    await gateway.run();
    return gateway;
  }

  settings() {
    return `
[server]
listen = "127.0.0.1:0"
workers = 1

[admin]
listen = "127.0.0.1:0"

[[api]]
name = "support-desk"
hosts = ["${API}"]
upstream = "http://127.0.0.1:${this.upstream.port}"
environments = { live = "sk_live_", test = "sk_test_" }
rate_limit = "600/min"
${scopes}
[store]
path = "keygate.db"

[portal]
hosts = ["${PAGES}"]
return_origins = ["${this.home}"]
${this.tokens.product.block}${this.tokens.ops.block}`;
  }

  // The product: its settings lead to the pages, and one of its pages has a link to them.
  async #product(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.home);
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    if (pathname === "/keys") {
      const { link } = await this.mint(JSON.parse(searchParams.get("with") ?? "{}"));
      response.writeHead(302, { Location: link }).end();
    } else if (pathname === "/settings") {
      const to = searchParams.get("to") ?? "/keys";
      response.end(`<!DOCTYPE html><title>Product</title><a href="${to}">API keys</a>`);
    } else {
      response.writeHead(404).end();
    }
  }

  // Runs the program, and reads from its events where it listens.
  async run() {
    const order = ["serve", "--config", join(this.folder, "gateway.toml")];
    const stdio = ["ignore", "ignore", "pipe"];
    this.child = spawn(program, order, { stdio, env: { ...process.env, ...this.env } });
    this.said = [];
    const ready = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("exit", () => reject(new Error(`the gateway ended:\n${this.said.join("\n")}`)));
      setTimeout(() => reject(new Error("the gateway does not start")), PATIENCE).unref();
      createInterface(this.child.stderr).on("line", (line) => {
        this.said.push(line);
        if (!line.startsWith("{")) return;
        const event = JSON.parse(line);
        const port = Number(event.address?.split(":").at(-1));
        if (event.message === "listening" && event.listener === "data") this.port = port;
        if (event.message === "listening" && event.listener === "admin") this.admin = port;
        if (event.message === "ready") resolve();
      });
    });
    await ready;
    this.child.removeAllListeners("exit");
    this.origin = `http://${PAGES}:${this.port}`;
  }

  // Stops the program and leaves its folder.
  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill("SIGTERM");
    const late = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await ended;
    clearTimeout(late);
  }

  async close() {
    await this.stop();
    await this.upstream.close();
    await this.product.close();
    await rm(this.folder, { recursive: true });
  }

  // Calls the admin API with the token of this name, and returns what it says.
  async call(who, method, path, body) {
    const headers = { Authorization: `Bearer ${this.tokens[who].secret}` };
    if (body) headers["Content-Type"] = "application/json";
    const text = body && JSON.stringify(body);
    const answer = await ask(this.admin, path, { method, headers, body: text });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.text === "" ? null : JSON.parse(answer.text);
  }

  // Mints a session as the product does. Returns its id and its link.
  async mint(more = {}) {
    const wish = {
      organization: "org_acme",
      actor: { id: "user_123", name: "Sam Doe" },
      return_url: `${this.home}/settings`,
      ...more,
    };
    const { id, url } = await this.call("product", "POST", "/v1/portal/sessions", wish);
    // The link has the port of the file, which is 0 here.
    const { pathname, search, searchParams } = new URL(url);
    return { id, link: this.origin + pathname + search, code: searchParams.get("code") };
  }

  // Mints a session and opens it without a browser. Returns its id and its cookie. Each is opened
  // from another address, because openings are counted by network.
  async session(more = {}) {
    const { id, code } = await this.mint(more);
    const [a, b] = randomBytes(2);
    const answer = await ask(this.port, "/open", {
      method: "POST",
      host: `${PAGES}:${this.port}`,
      headers: {
        "Content-Type": "application/x-www-form-urlencoded",
        "Sec-Fetch-Site": "same-origin",
      },
      body: new URLSearchParams({ code }).toString(),
      from: `127.77.${a}.${1 + (b % 254)}`,
    });
    if (answer.status !== 303) throw new Error(`/open: ${answer.status} ${answer.text}`);
    const [pair] = answer.headers["set-cookie"][0].split(";");
    const [name, value] = pair.split("=");
    return { id, cookie: { name, value } };
  }

  // Sends a form of a session without a browser, and returns the page that it is answered with.
  async send(session, path, form) {
    const answer = await ask(this.port, path, {
      method: "POST",
      host: `${PAGES}:${this.port}`,
      headers: {
        "Content-Type": "application/x-www-form-urlencoded",
        "Sec-Fetch-Site": "same-origin",
        Cookie: `${session.cookie.name}=${session.cookie.value}`,
      },
      body: form.toString(),
    });
    if (answer.status >= 400) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    return answer.text;
  }

  // Makes a key as an operator does. Returns its id and its text.
  async key(more = {}) {
    const wish = {
      name: "CRM integration",
      organization: "org_acme",
      environment: "test",
      scopes: ["tickets:read"],
      ...more,
    };
    const made = await this.call("ops", "POST", "/v1/keys", wish);
    return { id: made.id, text: made.key };
  }

  // Returns the status of a request with this key to the API.
  async tickets(key, more = {}) {
    const headers = { Authorization: `Bearer ${key}` };
    return (await ask(this.port, "/v1/tickets", { host: API, headers, ...more })).status;
  }
}
