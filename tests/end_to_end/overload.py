"""More queries than a service can answer, sent at a steady rate whether or not earlier ones are answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

BOUNDARY = b"b"
CLIENTS = 16
PATIENCE_S = 60
SAMPLE_S = 1.0


@dataclass
class Flood:
    """What became of many queries.

    Attributes:
        statuses: how many had each; 0 for those without an answer.
        kinds: of problems, how many had each.
        without_retry: answers 503 that did not say when to come back.
        memory_mib: what the service held over time, MiB.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    without_retry: int = 0
    memory_mib: list[float] = field(default_factory=list)


def query(image: bytes) -> bytes:
    """A whole request."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
        + image
        + b"\r\n--b--\r\n"
    )
    head = (
        "POST /query HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send(url: str, request: bytes, into: Flood) -> int:
    """Send a request on a connection of its own; the status of its answer, 0 for none."""
    address = urlsplit(url)
    writer = None
    answer = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(request)
            answer = await reader.read(-1)
    except (TimeoutError, OSError):
        pass
    finally:
        if writer is not None:
            writer.transport.abort()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else 0
    into.statuses[status] += 1
    if status >= 400:
        into.kinds[json.loads(body)["type"].rpartition(":")[2]] += 1
        into.without_retry += status == 503 and b"\r\nretry-after: " not in head.lower()
    return status


async def capacity(url: str, request: bytes, seconds: float) -> float:
    """Queries a second that are answered where as many clients as can be batched wait for their answers."""
    found = Flood()
    until = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < until:
            await send(url, request, found)

    begun = time.monotonic()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    assert set(found.statuses) == {200}, found
    return found.statuses[200] / (time.monotonic() - begun)


async def flood(url: str, request: bytes, rate: float, seconds: float) -> Flood:
    """Send so many queries a second for so long."""
    found, under_way = Flood(), set()
    begun = time.monotonic()
    sampling = asyncio.create_task(_sample(url, found))
    sent = 0
    while (passed := time.monotonic() - begun) < seconds:
        while sent < passed * rate:
            task = asyncio.create_task(send(url, request, found))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            sent += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*under_way)
    sampling.cancel()
    return found


async def _sample(url: str, into: Flood) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        while True:
            for line in (await client.get("/metrics")).text.splitlines():
                if line.startswith("process_resident_memory_bytes "):
                    into.memory_mib.append(float(line.split()[1]) / 2**20)
            await asyncio.sleep(SAMPLE_S)
