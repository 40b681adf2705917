"""Workers without an embedder, and clients of a service, on one queue; and what is waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pydantic import SecretStr

from service.inference.forward import EmbeddingError
from service.queue import codec
from service.queue.client import QueueClient
from service.queue.connection import connect
from service.queue.keys import Keys
from service.queue.stream import RequestStream
from service.settings import Settings
from service.worker.registration import Registration
from tests.service.redis_server import RedisServer

OURS, THEIRS = "a" * 64, "b" * 64
PATIENCE_S = 30.0


class Fellow:
    """A worker without an embedder."""

    def __init__(self, url: str, name: str, fingerprint: str) -> None:
        redis, blocking = self.clients = (connect(url, 5), connect(url, 60))
        keys = Keys("q")
        self.stream = RequestStream(redis, blocking, keys, name)
        self.registration = Registration(redis, keys, name, fingerprint, 30)


@asynccontextmanager
async def fellow(redis: RedisServer, name: str = "w", fingerprint: str = OURS) -> AsyncIterator[Fellow]:
    it = Fellow(redis.url, name, fingerprint)
    try:
        await it.registration.introduce()
        await it.stream.prepare()
        it.registration.open("fake")
        await it.registration.beat(0.0)
        yield it
    finally:
        for client in it.clients:
            await client.aclose()


@asynccontextmanager
async def service(
    redis: RedisServer, fingerprint: str = OURS, max_queue: int = 4, timeout_s: float = 5
) -> AsyncIterator[QueueClient]:
    settings = Settings(
        redis_url=SecretStr(redis.url),
        queue_name="q",
        max_queue=max_queue,
        max_batch=1,
        redis_timeout_s=timeout_s,
    )
    client = QueueClient(settings, fingerprint)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def soon() -> float:
    return time.monotonic() + PATIENCE_S


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.01)


def refusal(request: bytes) -> bytes:
    return codec.encode_error(request, EmbeddingError("no"))


async def dead_letters(client: QueueClient, count: int) -> bool:
    return client.state().dead_letters == count


async def is_empty(redis: RedisServer) -> bool:
    return not redis.client.xlen("{q}:requests")


async def depth(redis: RedisServer, depth: int) -> bool:
    return bool(redis.client.xlen("{q}:requests") == depth)


async def workers(client: QueueClient, count: int) -> bool:
    return client.state().workers == count
