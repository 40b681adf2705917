"""Memory stays flat: a query leaves nothing behind, not even for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message

from service.api.app import create_app
from service.settings import Settings
from tests.service.fakes import RED, decode_pool, image_file, make_models, open_gallery

QUERIES = 5_000
AT_ONCE = 8
LEFT_BEHIND = 0.1
"""Objects a query: what caches and pools that fill once come to."""
GROWTH_MIB = 32

FORM = b"\r\n".join(
    [
        b"--b",
        b'Content-Disposition: form-data; name="image"; filename="a"',
        b"",
        image_file(RED),
        b"--b--",
        b"",
    ]
)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[FastAPI]:
    """An application with ten enrolled images, ready, without a server around it."""
    with open_gallery(folder / "gallery") as gallery:
        app = create_app(Settings(data_dir=folder), models=make_models(), gallery=gallery, pool=decode_pool())
        async with app.router.lifespan_context(app):
            while (await ask(app, "GET", "/health/ready"))[0] != 200:
                await asyncio.sleep(0.01)
            for _ in range(10):
                assert (await ask(app, "POST", "/gallery", FORM))[0] == 201
            yield app


async def ask(app: FastAPI, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of an answer."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"content-type", b"multipart/form-data; boundary=b"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def query(app: FastAPI, times: int) -> None:
    for _ in range(times):
        status, _ = await ask(app, "POST", "/query", FORM)
        assert status == 200


async def crowd(app: FastAPI, times: int) -> None:
    await asyncio.gather(*(query(app, times // AT_ONCE) for _ in range(AT_ONCE)))


def peak_mib() -> float:
    """The most memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@contextmanager
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def living() -> int:
    """Objects that there are. An SQLite connection keeps up to 200 references to cursors that are gone."""
    return sum(not (isinstance(each, weakref.ref) and each() is None) for each in gc.get_objects())


async def left_behind(folder: Path) -> tuple[int, int, float]:
    """Objects that only the collector finds, objects more, and the growth in MiB after many queries."""
    async with serving(folder) as app:
        await crowd(app, 200)
        with uncollected():
            objects, memory = living(), peak_mib()
            await crowd(app, QUERIES)
            grown = peak_mib() - memory
            unreachable = gc.collect()
            return unreachable, living() - objects, grown


def measure(folder: Path) -> tuple[int, int, float]:
    return asyncio.run(left_behind(folder))


@pytest.mark.slow
def test_queries_leave_nothing_behind(tmp_path: Path) -> None:
    # In a process of its own: after other tests the peak is theirs, and what they left running counts too.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        unreachable, more, grown = process.submit(measure, tmp_path).result()
    assert unreachable < LEFT_BEHIND * QUERIES
    assert more < LEFT_BEHIND * QUERIES
    assert grown < GROWTH_MIB


@pytest.mark.soak
def test_memory_stays_flat_for_long(tmp_path: Path, soak_s: float) -> None:
    async def measure() -> list[float]:
        found = []
        async with serving(tmp_path) as app:
            await crowd(app, 1_000)
            until = time.monotonic() + soak_s
            while time.monotonic() < until:
                found.append(peak_mib())
                await crowd(app, 1_000)
        return found

    found = asyncio.run(measure())
    print(f"{1_000 * len(found):,} queries: {found[0]:.0f} -> {found[-1]:.0f} MiB at most")
    assert found[-1] - found[0] < GROWTH_MIB
