"""A gRPC server on grpcio. Messages are bytes, so that no generated code is needed.

    /desk.Desk/Get       unary: the message back, with trailing metadata
    /desk.Desk/Watch     server stream: as many messages as the request's number says
    /desk.Desk/Add       client stream: the sum of the messages' lengths
    /desk.Desk/Talk      bidirectional: every message back at once
    /desk.Desk/Fail      NOT_FOUND, with trailing metadata
    /desk.Desk/Metadata  unary: the call's metadata, a line for each
    /desk.Desk/Slow      unary: waits until the client gives up
"""

import threading
from concurrent import futures

import grpc


def get(request, context):
    context.set_trailing_metadata([("x-desk", "served"), ("x-desk-bin", b"\x00\xff")])
    return request


def watch(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def add(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def talk(requests, context):
    yield from requests


def fail(request, context):
    context.set_trailing_metadata([("x-desk", "no such ticket")])
    context.abort(grpc.StatusCode.NOT_FOUND, "no ticket 7 — nowhere")


def metadata(request, context):
    return "\n".join(f"{name}={value}" for name, value in context.invocation_metadata()).encode()


def slow(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(30)
    return b""


handlers = grpc.method_handlers_generic_handler(
    "desk.Desk",
    {
        "Get": grpc.unary_unary_rpc_method_handler(get),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
        "Add": grpc.stream_unary_rpc_method_handler(add),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Metadata": grpc.unary_unary_rpc_method_handler(metadata),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
    },
)
limits = [("grpc.max_receive_message_length", 16 * 1024 * 1024)]
server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[handlers], options=limits)
print("listening", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
