"""A WebSocket server on Python's websockets: sends every message back, and does what some texts ask for.

    "headers"       the handshake's header fields, as JSON
    "ping"          pings the client and says "pong" once it has answered
    "close CODE"    closes with this code
"""

import asyncio
import json

from websockets.asyncio.server import serve


async def talk(connection):
    async for message in connection:
        match message.split() if isinstance(message, str) else []:
            case ["headers"]:
                await connection.send(json.dumps({name.lower(): value for name, value in connection.request.headers.raw_items()}))
            case ["ping"]:
                await (await connection.ping(b"are you there?"))
                await connection.send("pong")
            case ["close", code]:
                await connection.close(int(code), "as you asked")
            case _:
                await connection.send(message)


def agree(_connection, offered):
    return "echo" if "echo" in offered else None


async def main():
    async with serve(talk, "127.0.0.1", 0, max_size=16 * 1024 * 1024, select_subprotocol=agree) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
