"""What stands around the network, each by itself: requests that are read and refused, and the queue."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from benchmarks.stack import Stack, send
from benchmarks.stage import CLIENTS, SIZES, Stage, measure
from models.bundle import Bundle
from service.queue.remote import RemoteEmbedder
from service.settings import Settings

REFUSED = 422
Answer = TypeVar("Answer")


def of_http(stack: Stack, files: Sequence[bytes], seconds: float) -> Iterator[Stage]:
    """Queries that are read to their end and refused, since they ask for no match."""
    taken = count()
    for size in SIZES:
        path = "/query" if size == 1 else "/query/batch"

        def refused(path: str = path, size: int = size) -> int:
            images = [files[next(taken) % len(files)] for _ in range(size)]
            status, content = send(stack.port, path, images, top_k="0")
            if status != REFUSED:
                raise RuntimeError(f"{path} answered {status}: {content[:300]!r}")
            return size

        yield measure("HTTP: a form that is refused", size, refused, seconds, CLIENTS[size], stack.cpu_s)


def of_the_queue(stack: Stack, bundle: Bundle, files: Sequence[bytes], seconds: float) -> Iterator[Stage]:
    """Images to a worker with a free embedder by Redis, and its answers back, without a service.

    Raises:
        ValueError: the stack has no Redis.
    """
    if stack.redis_url is None:
        raise ValueError("this stack has no Redis")
    url = SecretStr(stack.redis_url)
    settings = Settings(data_dir=Path("unused"), redis_url=url, request_deadline_s=60)
    queue, taken, own = RemoteEmbedder(settings, bundle.fingerprint), count(), threading.local()
    asyncio.run(queue.start())

    def run(work: Coroutine[Any, Any, Answer]) -> Answer:
        """On this thread's event loop, which is made once."""
        if not hasattr(own, "runner"):
            own.runner = asyncio.Runner()
        answer: Answer = own.runner.run(work)
        return answer

    try:
        for size in SIZES:

            def through(size: int = size) -> int:
                images = [files[next(taken) % len(files)] for _ in range(size)]
                deadline = time.monotonic() + 60
                if size == 1:
                    run(queue.embed(images[0], deadline))
                    return 1
                for outcome in run(queue.embed_many(images, deadline)):
                    if isinstance(outcome, Exception):
                        raise outcome
                return size

            yield measure(
                "Redis and a worker, decoding too", size, through, seconds, CLIENTS[size], stack.cpu_s
            )
    finally:
        asyncio.run(queue.stop())
