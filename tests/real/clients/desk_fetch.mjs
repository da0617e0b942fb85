// Node's fetch against the help desk: KEY_READ may view, KEY_WRITE may only write, KEY_FULL both.
import { bearer, check, url } from "./checks.mjs";

const tickets = `${url}/api/tickets/`;
const fresh = { queue: 1, title: "Opened by fetch", description: "Please help.", submitter_email: "f@example.com", priority: 3 };

function ask(method, target, who, body) {
  const headers = { ...bearer(who), ...(body && { "Content-Type": "application/json" }) };
  return fetch(target, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(60_000) });
}

let answer = await ask("GET", tickets, "read");
check("a key that may read lists the tickets", answer.status, 200);
check("the list holds the desk's tickets", (await answer.json()).count >= 3);
check("the answer says the limit", answer.headers.get("X-RateLimit-Limit"), "100");

answer = await ask("POST", tickets, "full", fresh);
check("a key with both scopes creates a ticket", answer.status, 201);
const ticket = `${tickets}${(await answer.json()).id}/`;
answer = await ask("PATCH", ticket, "full", { status: 3 });
check("and updates it", answer.status, 200);
check("the desk kept the update", (await (await ask("GET", ticket, "read")).json()).status, 3);

answer = await ask("POST", tickets, "read", fresh);
const problem = await answer.json();
check("a key that may only read is refused a new ticket", answer.status, 403);
check("the refusal names the missing scope", [problem.code, problem.required_scope], ["insufficient_scope", "tickets:write"]);
check("and an update", (await ask("PATCH", ticket, "read", { status: 1 })).status, 403);
check("write does not imply read", (await ask("GET", tickets, "write")).status, 403);
check("the ticket is as it was", (await (await ask("GET", ticket, "read")).json()).status, 3);

check("without a key: 401", (await ask("GET", tickets, null)).status, 401);
check("with a key that nobody made: 401", (await ask("GET", tickets, "unknown")).status, 401);
