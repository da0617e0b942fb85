// Node's ws through wss: text, binary, fragments, ping, close codes, refusals.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import WebSocket from "ws";
import { bearer, check, url } from "./checks.mjs";

const target = `${url.replace("https://", "wss://")}/socket`;
const mib = 1024 * 1024;

function open(who) {
  return new WebSocket(target, { headers: bearer(who), ca: readFileSync(process.env.KEYGATE_CA), handshakeTimeout: 30_000 });
}

async function reply(socket, message) {
  socket.send(message);
  const [data, isBinary] = await once(socket, "message");
  return isBinary ? data : data.toString();
}

async function refused(who) {
  const socket = open(who);
  const answer = await Promise.race([once(socket, "unexpected-response"), once(socket, "open")]);
  if (answer.length === 0) return "opened";
  const [request, response] = answer;
  request.destroy();
  return response.statusCode;
}

let socket = open("full");
await once(socket, "open");
check("text comes back", await reply(socket, "Grüße"), "Grüße");
check("binary comes back", await reply(socket, Buffer.from([0, 1, 255])), Buffer.from([0, 1, 255]));
socket.send(Buffer.alloc(mib, "a"), { fin: false });
check("1 MiB and more in fragments comes back", (await reply(socket, Buffer.alloc(mib, "b"))).length, 2 * mib);
socket.ping("hello");
const [pong] = await once(socket, "pong");
check("a ping is answered", pong.toString(), "hello");
check("the upstream's ping is answered", await reply(socket, "ping"), "pong");
socket.send("close 4001");
let [code, reason] = await once(socket, "close");
check("the upstream's close code and reason arrive", [code, reason.toString()], [4001, "as you asked"]);

socket = open("full");
await once(socket, "open");
socket.close(4002, "done here");
[code, reason] = await once(socket, "close");
check("the client's close is acknowledged", [code, reason.toString()], [4002, "done here"]);

check("without a key no socket opens", await refused(null), 401);
check("with a key that nobody made: 401", await refused("unknown"), 401);
check("without the scope: 403", await refused("read"), 403);
