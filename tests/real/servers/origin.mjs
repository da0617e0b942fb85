// An origin that says, in a line of JSON, how it understood each request; with Node's parser at its most lenient. What it cannot
// parse at all it says too, because no gateway may send it.

import { createServer } from "node:http";

const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const hex = (bytes) => bytes.toString("hex");

const server = createServer({ insecureHTTPParser: true, requireHostHeader: false }, (request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const all = (name) => request.rawHeaders.filter((_, at, raw) => at % 2 === 1 && raw[at - 1].toLowerCase() === name);
    say({
      method: request.method,
      target: request.url,
      host: all("host").join(" and "),
      auth: all("x-keygate-auth").join(" and "),
      body: hex(Buffer.concat(parts)),
    });
    response.end("ok");
  });
  request.on("error", () => {});
});
// Without a listener for it, a request to switch is an ordinary one.
server.on("checkContinue", (request, response) => server.emit("request", request, response));
server.on("clientError", (error, socket) => {
  // A body that the gateway broke off ends a connection; that is no request.
  if (error.code !== "ECONNRESET" && error.code !== "HPE_INVALID_EOF_STATE") {
    say({ method: "unreadable", target: String(error.code), host: "", auth: "public", body: hex(error.rawPacket ?? Buffer.alloc(0)) });
  }
  socket.destroy();
});
server.keepAliveTimeout = 600_000;
server.listen(0, "127.0.0.1", () => console.log("listening", server.address().port));
