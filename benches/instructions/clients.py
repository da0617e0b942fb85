"""Who is on the gateway's two sides: an upstream that always answers the same, and a client for each protocol."""

import socket
import ssl
import struct
import threading

PATH = "/api/v1/tickets"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 160\r\n\r\n" + b"x" * 160


def start_upstream():
    """Answers each request that has no body; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = b""
        while part := connection.recv(65536):
            request += part
            if request.endswith(b"\r\n\r\n"):
                connection.sendall(ANSWER)
                request = b""

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def connect(port, cert, protocol):
    """One connection over TLS 1.3, as whoever trusts this certificate makes it."""
    context = ssl.create_default_context(cafile=cert)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([protocol])
    stream = socket.create_connection(("127.0.0.1", port), timeout=60)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = context.wrap_socket(stream, server_hostname="localhost")
    if stream.selected_alpn_protocol() != protocol:
        raise ConnectionError(f"the gateway does not speak {protocol}")
    return stream


class Http1:
    """Sends the same request again and again, each after the answer to the one before."""

    def __init__(self, port, cert, key):
        self.stream = connect(port, cert, "http/1.1")
        self.request = (
            f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
            "Accept: application/json\r\nUser-Agent: bench\r\n\r\n"
        ).encode()

    def status(self):
        self.stream.sendall(self.request)
        answer = self.read()
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self.read()
        fields = dict(line.lower().split(b": ", 1) for line in answer[:end].split(b"\r\n")[1:])
        while len(answer) < end + 4 + int(fields[b"content-length"]):
            answer += self.read()
        return int(answer[9:12])

    def read(self):
        part = self.stream.recv(65536)
        if not part:
            raise ConnectionError("the gateway closed the connection")
        return part


class Http2:
    """The same over HTTP/2 (RFC 9113). After the first request its fields stand in the dynamic table, as with any client."""

    DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
    END_STREAM, ACK, END_HEADERS = 1, 1, 4

    def __init__(self, port, cert, key):
        self.stream, self.buffer, self.last_stream = connect(port, cert, "h2"), b"", -1
        fields = [
            (b":authority", b"localhost"), (b":path", PATH.encode()), (b"authorization", f"Bearer {key}".encode()),
            (b"accept", b"application/json"), (b"user-agent", b"bench"),
        ]
        static = b"\x82\x87"  # RFC 7541, appendix A: `:method: GET`, `:scheme: https`
        # RFC 7541, 6.2.1: a literal that is added to the table; the last that was added has the index 62.
        self.block = static + b"".join(bytes([0x40, len(name)]) + name + bytes([len(value)]) + value for name, value in fields)
        self.later = static + bytes(0x80 | 61 + place for place in range(len(fields), 0, -1))
        self.stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(self.SETTINGS, 0, 0, b""))
        self.stream.sendall(frame(self.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))

    def status(self):
        self.last_stream += 2
        self.stream.sendall(frame(self.HEADERS, self.END_STREAM | self.END_HEADERS, self.last_stream, self.block))
        self.block = self.later
        status = None
        while True:
            kind, flags, stream, payload = self.read_frame()
            if kind == self.HEADERS:
                # RFC 7541, 6.3: the first answer may begin with the size of the table, 0. Appendix A: only `:status: 200` is of
                # interest here.
                status = 200 if payload.lstrip(b"\x20")[:1] == b"\x88" else 0
            if kind in (self.SETTINGS, self.PING) and not flags & self.ACK:
                self.stream.sendall(frame(kind, self.ACK, 0, payload if kind == self.PING else b""))
            if kind == self.GOAWAY:
                raise ConnectionError("the gateway closed the connection")
            if kind in (self.HEADERS, self.DATA) and stream == self.last_stream and flags & self.END_STREAM:
                return status

    def read_frame(self):
        head = self.take(9)
        payload = self.take(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    def take(self, length):
        while len(self.buffer) < length:
            part = self.stream.recv(65536)
            if not part:
                raise ConnectionError("the gateway closed the connection")
            self.buffer += part
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
