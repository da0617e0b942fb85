"""A small HTTP/1.1 server on the standard library, for what the help desk never does: large bodies, streams, trailers.

    GET  /download/N        N bytes, chunked; HEAD says their number
    POST /upload            says how many bytes came, their SHA-256, and how they were framed
    GET  /together/N        answers once N requests are waiting at the same time
    GET  /trailers          a chunked answer with the trailer X-Checksum
    GET  /events            server-sent events, the next one only after a POST to /events/seen
    POST /refuse            413 before the body is read; the connection closes
    GET  /headers           the request's header fields, as JSON
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 64 * 1024
WAIT = 30  # seconds after which a wait for other requests is given up

gates = {}
gates_lock = threading.Lock()
seen = threading.Semaphore(0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        match self.path.strip("/").split("/"):
            case ["download", size]:
                self.download(int(size))
            case ["together", number]:
                self.together(int(number))
            case ["trailers"]:
                self.trailers()
            case ["events"]:
                self.events()
            case ["headers"]:
                self.answer({name.lower(): value for name, value in self.headers.items()})
            case _:
                self.send_error(404)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", self.path.rsplit("/", 1)[1])
        self.end_headers()

    def do_POST(self):
        match self.path:
            case "/upload":
                self.upload()
            case "/events/seen":
                self.body()
                seen.release()
                self.answer({})
            case _:
                self.send_error(404)

    def handle_expect_100(self):
        if self.path != "/refuse":
            return super().handle_expect_100()
        self.close_connection = True
        self.answer({"refused": True}, status=413)
        return False

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_chunked(self, content_type, **fields):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def body(self):
        """The request's body, block by block, however it is framed."""
        total, digest = 0, hashlib.sha256()
        for data in self.blocks():
            total += len(data)
            digest.update(data)
        return total, digest.hexdigest()

    def blocks(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield from self.exactly(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield from self.exactly(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

    def exactly(self, size):
        while size:
            data = self.rfile.read(min(size, BLOCK))
            if not data:
                raise ConnectionError("the body ended early")
            size -= len(data)
            yield data

    def upload(self):
        total, digest = self.body()
        chunked = "Transfer-Encoding" in self.headers
        self.answer({"bytes": total, "sha256": digest, "chunked": chunked})

    def download(self, size):
        self.start_chunked("application/octet-stream")
        block = bytes(range(256)) * (BLOCK // 256)
        while size:
            self.chunk(block[:size])
            size -= min(size, BLOCK)
        self.wfile.write(b"0\r\n\r\n")

    def together(self, number):
        with gates_lock:
            gate = gates.setdefault(number, threading.Barrier(number))
        gate.wait(WAIT)
        self.answer({"together": number})

    def trailers(self):
        self.start_chunked("text/plain", Trailer="X-Checksum")
        self.chunk(b"with a trailer")
        self.wfile.write(b"0\r\nX-Checksum: 14 bytes\r\n\r\n")

    def events(self):
        self.start_chunked("text/event-stream")
        for number in range(3):
            self.chunk(f"id: {number}\ndata: event {number}\n\n".encode())
            if not seen.acquire(timeout=WAIT):
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
print("listening", server.server_address[1], flush=True)
server.serve_forever()
