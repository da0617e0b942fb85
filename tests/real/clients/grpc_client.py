"""grpcio through Keygate: unary, streams, trailers, deadlines, and refusals as gRPC statuses.

KEY_FULL may call everything, KEY_READ nothing of it, KEY_LIMITED twice in an hour.
"""

import queue
from pathlib import Path

import grpc
from checks import CA, URL, check, key

MIB = 1024 * 1024
channel = grpc.secure_channel(
    URL.removeprefix("https://"),
    grpc.ssl_channel_credentials(Path(CA).read_bytes()),
    options=[("grpc.max_receive_message_length", 16 * MIB), ("grpc.enable_http_proxy", 0)],
)
get = channel.unary_unary("/desk.Desk/Get")
watch = channel.unary_stream("/desk.Desk/Watch")
add = channel.stream_unary("/desk.Desk/Add")
talk = channel.stream_stream("/desk.Desk/Talk")
fail = channel.unary_unary("/desk.Desk/Fail")
metadata = channel.unary_unary("/desk.Desk/Metadata")
slow = channel.unary_unary("/desk.Desk/Slow")


def who(name, timeout=60):
    """Call metadata with this key, and a deadline that no working call reaches."""
    return {"metadata": [("authorization", f"Bearer {key(name)}")] if name else [], "timeout": timeout}


def error_of(call, request, **how):
    """What a call that must fail fails with."""
    try:
        answer = call(request, **how)
        list(answer) if call is watch else None
    except grpc.RpcError as error:
        return error
    return check("a call that must fail failed", False)


answer, call = get.with_call(b"ticket 1", **who("full"))
check("unary: the message comes back", answer, b"ticket 1")
trailers = dict(call.trailing_metadata())
check("unary: trailing metadata, text and binary", (trailers["x-desk"], trailers["x-desk-bin"]), ("served", b"\x00\xff"))
check("unary: the limit stands in the initial metadata", dict(call.initial_metadata())["x-ratelimit-limit"], "1000")
check("unary: an empty message", get(b"", **who("full")), b"")
check("unary: 8 MiB each way", get(bytes(8 * MIB), **who("full")) == bytes(8 * MIB))

check("server stream: 1000 messages in order", list(watch(b"1000", **who("full"))), [b"%d" % number for number in range(1000)])
check("client stream: 100 messages of 64 KiB", add((bytes(65536) for _ in range(100)), **who("full")), b"6553600")

# The next message is sent only when the last one was answered, so nothing may be held back on the way.
outgoing = queue.SimpleQueue()
conversation = talk(iter(outgoing.get, None), **who("full"))
for turn in range(20):
    outgoing.put(b"turn %d" % turn)
    if next(conversation) != b"turn %d" % turn:
        check("both streams: each turn is answered", False)
outgoing.put(None)
check("both streams: 20 turns, each answered before the next, then the end", list(conversation), [])

error = error_of(fail, b"", **who("full"))
check("an error of the upstream keeps its status", error.code(), grpc.StatusCode.NOT_FOUND)
check("and its text", error.details(), "no ticket 7 — nowhere")
check("and its trailing metadata", dict(error.trailing_metadata())["x-desk"], "no such ticket")
check("a deadline ends a call", error_of(slow, b"", **who("full", timeout=1)).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
check("and the channel still serves", get(b"again", **who("full")), b"again")

seen = metadata(b"", **who("full")).decode().splitlines()
check("the upstream never saw the key", [line for line in seen if line.startswith("authorization")], [])
check("and was told whose it is", "x-keygate-key-id=key_full" in seen)

for name, code in [
    (None, grpc.StatusCode.UNAUTHENTICATED),
    ("unknown", grpc.StatusCode.UNAUTHENTICATED),
    ("read", grpc.StatusCode.PERMISSION_DENIED),
]:
    check(f"key {name}: unary call gets {code.name}", error_of(get, b"", **who(name)).code(), code)
    check(f"key {name}: streaming call gets {code.name}", error_of(watch, b"3", **who(name)).code(), code)

for _ in range(2):
    get(b"", **who("limited"))
error = error_of(get, b"", **who("limited"))
check("over the limit: RESOURCE_EXHAUSTED", error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
answered = {**dict(error.initial_metadata() or ()), **dict(error.trailing_metadata() or ())}
check("and when to come again", int(answered["retry-after"]) > 0)
