"""Python's websockets through wss: text, binary, fragments, ping, close codes, refusals."""

import asyncio
import json
import ssl

from checks import CA, URL, bearer, check
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

TARGET = URL.replace("https://", "wss://") + "/socket"
MIB = 1024 * 1024
trust = ssl.create_default_context(cafile=CA)


def open_socket(who, **more):
    return connect(TARGET, ssl=trust, additional_headers=bearer(who), max_size=16 * MIB, proxy=None, **more)


async def refused(who):
    try:
        async with open_socket(who):
            return "opened"
    except InvalidStatus as refusal:
        return refusal.response.status_code


async def main():
    async with open_socket("full", subprotocols=["echo"]) as socket:
        check("the subprotocol was agreed with the upstream", socket.subprotocol, "echo")
        await socket.send("Grüße")
        check("text comes back", await socket.recv(), "Grüße")
        await socket.send(bytes(range(256)))
        check("binary comes back", await socket.recv(), bytes(range(256)))
        await socket.send(bytes([number]) * (MIB // 16) for number in range(16))
        check("1 MiB in 16 fragments comes back", await socket.recv(), b"".join(bytes([number]) * (MIB // 16) for number in range(16)))
        latency = await asyncio.wait_for(await socket.ping(b"hello"), 30)
        check("a ping is answered", latency >= 0)
        await socket.send("ping")
        check("the upstream's ping is answered", await socket.recv(), "pong")
        await socket.send("headers")
        headers = json.loads(await socket.recv())
        check("the upstream never saw the key", "authorization" in headers, False)
        check("and was told whose it is", headers["x-keygate-key-id"], "key_full")
        await socket.send("close 4001")
        try:
            await socket.recv()
            check("the upstream's close arrives", False)
        except ConnectionClosed as closed:
            check("the upstream's close code and reason arrive", (closed.rcvd.code, closed.rcvd.reason), (4001, "as you asked"))

    async with open_socket("full") as socket:
        await socket.close(4002, "done here")
        check("the client's close is acknowledged", (socket.close_code, socket.close_reason), (4002, "done here"))

    check("without a key no socket opens", await refused(None), 401)
    check("with a key that nobody made: 401", await refused("unknown"), 401)
    check("without the scope: 403", await refused("read"), 403)


asyncio.run(main())
