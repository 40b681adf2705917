"""Clients that nobody wants, until the process is killed: `... hostile URL SEED CONNECTIONS`.

Each keeps one connection open for as long as it may, by one of these ways, and then another.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

HEAD = b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
OPENING = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
LARGE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
"""Of the attackers; the first is the honest client's as well."""

Say = Callable[[bytes], Awaitable[None]]


async def be_silent(_say: Say) -> None:
    """Say nothing."""
    await asyncio.sleep(3600)


async def trickle_a_head(say: Say) -> None:
    """Send a head byte by byte."""
    await say(b"GET / HTTP/1.1\r\nX: ")
    while True:
        await say(b"a")
        await asyncio.sleep(0.2)


async def never_end_a_head(say: Say) -> None:
    """Send a head as fast as it is taken."""
    await say(b"GET / HTTP/1.1\r\n")
    while True:
        await say(b"X: " + b"a" * 4000 + b"\r\n")


async def trickle_a_body(say: Say) -> None:
    """Announce an image and send it byte by byte."""
    await say(HEAD + b"Content-Length: 1000000\r\n\r\n" + OPENING)
    while True:
        await say(b"a")
        await asyncio.sleep(0.2)


async def stall_in_a_body(say: Say) -> None:
    """Send most of an image and wait."""
    await say(HEAD + b"Content-Length: 1000000\r\n\r\n" + OPENING + bytes(500_000))
    await asyncio.sleep(3600)


async def extend_a_chunk(say: Say) -> None:
    """Send a chunk's extension without end."""
    await say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;")
    while True:
        await say(b"a" * 4000)


async def read_nothing(say: Say) -> None:
    """Ask for what is large, again and again, and read none of it."""
    while True:
        await say(LARGE)
        await asyncio.sleep(0.05)


async def send_a_rest(say: Say) -> None:
    """Send a body without end to what needs none."""
    await say(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        await say(bytes(4000))


WAYS = (
    be_silent,
    trickle_a_head,
    never_end_a_head,
    trickle_a_body,
    trickle_a_body,
    stall_in_a_body,
    extend_a_chunk,
    read_nothing,
    send_a_rest,
)


async def attack(url: str, source: random.Random) -> None:
    """One client, again and again."""
    address = urlsplit(url)
    while True:
        way, local = source.choice(WAYS), (source.choice(ADDRESSES), 0)
        try:
            reader, writer = await asyncio.open_connection(
                address.hostname, address.port, local_addr=local, limit=1024
            )
        except OSError:
            await asyncio.sleep(0.1)
            continue

        async def say(data: bytes, to: asyncio.StreamWriter = writer) -> None:
            to.write(data)
            await to.drain()
            # What is sent without end is sent by turns.
            await asyncio.sleep(0)

        acting = asyncio.create_task(way(say))
        ended = asyncio.create_task(_end_of(reader, way))
        await asyncio.wait({acting, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (acting, ended):
            task.cancel()
        await asyncio.gather(acting, ended, return_exceptions=True)
        writer.transport.abort()
        await asyncio.sleep(0.05)


async def _end_of(reader: asyncio.StreamReader, way: object) -> None:
    if way is read_nothing:
        await asyncio.sleep(3600)
    while await reader.read(1024):
        pass


async def main(url: str, seed: int, connections: int) -> None:
    """As many clients."""
    await asyncio.gather(*(attack(url, random.Random(f"{seed} {number}")) for number in range(connections)))


if __name__ == "__main__":
    # Attackers have processors of their own, and take none from whom they attack.
    os.nice(15)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
