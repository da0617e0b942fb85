"""httpx over HTTP/2: many requests on one connection, large bodies in both directions, HEAD, server-sent events."""

import asyncio
import hashlib
import ssl

import httpx
from checks import CA, URL, bearer, check

MIB = 1024 * 1024
SIZE = 64 * MIB


async def blocks(size):
    block = bytes(range(256)) * 256
    for _ in range(size // len(block)):
        yield block


async def main():
    trust = ssl.create_default_context(cafile=CA)
    one_connection = httpx.Limits(max_connections=1)
    how = {"http1": False, "http2": True, "verify": trust, "limits": one_connection, "trust_env": False, "timeout": 60}
    async with httpx.AsyncClient(headers=bearer("full"), **how) as client:
        answers = await asyncio.gather(*(client.get(f"{URL}/together/50") for _ in range(50)))
        check("50 requests wait for each other on one connection", {(a.status_code, a.http_version) for a in answers}, {(200, "HTTP/2")})
        check("each was counted once", sorted(int(a.headers["X-RateLimit-Remaining"]) for a in answers), list(range(950, 1000)))

        answer = await client.post(f"{URL}/upload", content=blocks(SIZE))
        whole = hashlib.sha256(bytes(range(256)) * (SIZE // 256)).hexdigest()
        check("64 MiB go up unharmed", answer.json(), {"bytes": SIZE, "sha256": whole, "chunked": True})

        answer = await client.post(f"{URL}/upload", content=b"x" * MIB)
        check("a length that is known stays known", (answer.json()["bytes"], answer.json()["chunked"]), (MIB, False))

        digest = hashlib.sha256()
        async with client.stream("GET", f"{URL}/download/{SIZE}") as answer:
            async for data in answer.aiter_raw():
                digest.update(data)
        check("64 MiB come down unharmed", digest.hexdigest(), whole)

        answer = await client.get(f"{URL}/headers")
        check("the upstream never saw the key", "authorization" in answer.json(), False)
        check("and was told whose it is", answer.json()["x-keygate-key-id"], "key_full")

        answer = await client.head(f"{URL}/download/12345")
        check("HEAD tells the length and sends no body", (answer.headers["Content-Length"], answer.content), ("12345", b""))

        events = []
        async with client.stream("GET", f"{URL}/events") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    events.append(line)
                    await client.post(f"{URL}/events/seen")
        check("server-sent events arrive while the stream is open", events, ["data: event 0", "data: event 1", "data: event 2"])

        answer = await client.get(f"{URL}/headers", headers=bearer("read"))
        check("a key without the scope is refused on the same connection", answer.status_code, 403)


asyncio.run(main())
