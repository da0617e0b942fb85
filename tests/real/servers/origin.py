"""An origin that says, in a line of JSON, how it understood each request: the standard library's lenient server, with lengths and
chunk sizes read as carelessly as Python's int() reads them. What it cannot parse at all it says too, because no gateway may send it.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()


def say(**value):
    with lock:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self):
        try:
            body = b"".join(self.blocks())
        except ConnectionError:
            self.close_connection = True  # the gateway broke it off
            return
        host, auth = (" and ".join(self.headers.get_all(name, [])) for name in ("Host", "X-Keygate-Auth"))
        target = self.requestline.split(" ")[1]  # self.path is tidied up
        say(method=self.command, target=target, host=host, auth=auth, body=body.hex())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")

    def blocks(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            yield self.exactly(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.line().split(b";")[0], 16):
            yield self.exactly(size)
            self.line()
        while self.line().strip():
            pass  # trailers

    def line(self):
        line = self.rfile.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("a line ended early")
        return line

    def exactly(self, size):
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionError("the body ended early")
        return data

    def send_error(self, code, message=None, explain=None):
        say(method="unreadable", target=f"{code} {message}", host="", auth="public", body=self.raw_requestline.hex())
        super().send_error(code, message, explain)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):  # the gateway may close whenever it likes
            say(method="unreadable", target=repr(error), host="", auth="public", body="")


server = Server(("127.0.0.1", 0), Handler)
print("listening", server.server_address[1], flush=True)
server.serve_forever()
