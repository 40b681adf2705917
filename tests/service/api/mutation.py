"""Requests that are nearly right: whole ones, with something in them changed."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.service.fakes import BLUE, GREEN, RED, image_file

BOUNDARY = b"--b"
WAIT_S = 0.3
"""s that an answer is waited for: a head or a body that was made longer has none for 5 s."""
WORDS = (
    *(b"\x00", b"\r\n", b"\n", b"\r\n\r\n", b"--b--\r\n", b"--b\r\n", b";", b'"', b"%00", b"%ff", b"../"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n", b"Content-Length: 99999999\r\n"),
    *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"Host: evil.example\r\n"),
    *(b"X-Request-ID: \xff\r\n", b"Range: bytes=0-1\r\n", b"If-None-Match: *\r\n", b"Accept: */*;q=x\r\n"),
    *(
        b"?limit=1",
        b"?after=-1",
        b"&a=b",
        b"1e308,-1,nan,0",
        b"\xf0\x9f\x9a\x97",
        b"\xc3",
        b"a" * 1000,
        b"9" * 50,
        b"-1",
    ),
    *(b'name="image_id"\r\n\r\nx', b'name="top_k"\r\n\r\n0', b'name="tags"\r\n\r\n', b'filename="x"'),
    *(b"//", b"0\r\n\r\n", b"1e9", b"=", b"\xe2\x80\xae", b"\xed\xa0\x80"),
)


def request(method: str, path: str, *parts: tuple[str, bytes]) -> bytes:
    """A whole request, with a form where it has parts; those without a name of their own are files."""
    body = b""
    for name, value in parts:
        file = b'; filename="x"' if name.endswith("image") else b""
        body += BOUNDARY + b'\r\nContent-Disposition: form-data; name="%s"' % name.encode() + file
        body += b"\r\n\r\n" + value + b"\r\n"
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Connection: close"]
    if parts:
        body += BOUNDARY + b"--\r\n"
        lines += [b"Content-Type: multipart/form-data; boundary=b", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def usual_requests() -> list[bytes]:
    """One of every kind, for a gallery that holds `kept`."""
    images = [image_file(RED), image_file(GREEN, "JPEG"), image_file(BLUE, "WEBP")]
    captured = ("captured_at", b"2024-05-17T08:30:00+02:00")
    described = (
        ("vehicle_id", b"bus_1"),
        ("camera_id", b"cam1"),
        captured,
        ("view", b"front"),
        ("vehicle_type", b"bus"),
        ("tags", b"a"),
    )
    found = [request("GET", path) for path in ("/", "/docs", "/openapi.json", "/health/ready", "/metrics")]
    found += [
        request("GET", path) for path in ("/gallery?limit=10&after=AAAAAAAABQQrHBND", "/gallery/kept/a/image")
    ]
    found += [
        request("GET", "/gallery/kept/a"),
        request("DELETE", "/gallery/nobody"),
        request("HEAD", "/docs"),
    ]
    for image in images:
        found.append(request("POST", "/query", ("image", image), ("top_k", b"5"), ("rerank", b"true")))
        found.append(request("POST", "/query", ("image", image), ("box", b"2,2,20,20")))
        found.append(request("POST", "/detect", ("image", image)))
        found.append(request("POST", "/gallery", ("image", image), ("detect", b"all"), ("keep_frame", b"1")))
        found.append(request("POST", "/gallery", ("image", image), ("image_id", b"kept/a"), *described))
        found.append(request("POST", "/explain", ("image", image), ("candidate_id", b"kept/a")))
        found.append(request("POST", "/explain", ("image", image), ("candidate_image", image)))
    return found


def mutated(whole: bytes, source: random.Random) -> bytes:
    """The request with one to three changes, a third of them in its head."""
    data = bytearray(whole)
    for _ in range(source.choice((1, 1, 2, 3))):
        end = whole.find(b"\r\n\r\n") + 4 if source.random() < 1 / 3 else len(data)
        at = source.randrange(max(1, min(end, len(data))))
        length = source.choice((1, 1, 2, 4, 8, 32))
        way = source.randrange(6)
        if way == 0:
            data[at : at + 1] = bytes([source.randrange(256)])
        elif way == 1:
            del data[at : at + length]
        elif way == 2:
            data[at:at] = source.choice(WORDS)
        elif way == 3:
            data[at:at] = data[at : at + length] * source.choice((1, 2, 50))
        elif way == 4:
            data[at : at + length] = source.choice(WORDS)
        else:
            del data[at:]
    return bytes(data)


@dataclass
class Outcome:
    """What came of many requests.

    Attributes:
        statuses: how many had each; 0 for those that had no answer in time.
        odd: requests whose answer was a fault of the service.
        enrolled: image ids that were acknowledged.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    odd: list[bytes] = field(default_factory=list)
    enrolled: set[str] = field(default_factory=set)


ALLOWED = frozenset({501, 503, 504})
"""What is above 499 by design: a bundle that explains nothing, a full service, a deadline."""


async def send_all(
    url: str, number: int, source: random.Random, go_on: Callable[[], bool], clients: int = 24
) -> Outcome:
    """Send so many mutated requests, by some clients at once, while that is wanted."""
    outcome, usual, start = Outcome(), usual_requests(), source.random()
    address = urlsplit(url)
    left = iter(range(number))

    async def client() -> None:
        for each in left:
            if not go_on():
                return
            # Of its own, so that which client sends it changes nothing.
            own = random.Random(f"{start} {each}")
            sent = mutated(own.choice(usual), own)
            answer = await _answer(str(address.hostname), int(address.port or 0), sent)
            status = int(answer[9:12]) if answer[:7] == b"HTTP/1." else 0
            outcome.statuses[status] += 1
            if status >= 500 and status not in ALLOWED:
                outcome.odd.append(sent)
            if status == 201 and (acknowledged := re.search(rb'"image_id":("(?:[^"\\]|\\.)*")', answer)):
                outcome.enrolled.add(json.loads(acknowledged[1]))

    await asyncio.gather(*(client() for _ in range(clients)))
    return outcome


async def _answer(host: str, port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(sent)
        async with asyncio.timeout(WAIT_S):
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            # An interim answer: the one that counts comes after it.
            while answer[9:12] == b"100":
                answer = await reader.readuntil(b"\r\n\r\n")
            return answer + await reader.read(65536)
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return b""
    finally:
        writer.transport.abort()
