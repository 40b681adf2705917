"""An answer is held to its size before it is decoded: what is compressed is not taken."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from lka_reid_client import AsyncClient, Client, ServiceUnreachableError
from lka_reid_client.calls import health
from tests.client.test_clients import LIVE, replying

SMALL = 4 << 20


def nested(layers: int) -> bytes:
    """8 MiB of zeros, compressed so many times."""
    data = bytes(8 << 20)
    for _ in range(layers):
        data = gzip.compress(data, 9, mtime=0)
    return data


@contextmanager
def answering(status: int, coding: str, body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives every request this answer; its URL, and the requests' heads."""
    heads: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))
    head = f"HTTP/1.1 {status} X\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                heads.append(connection.recv(65536))
                connection.sendall(head.encode() + body)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heads
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def by_client(url: str, use: Callable[[Any], Any]) -> Any:
    with Client(url) as client:
        return use(client)


def by_async_client(url: str, use: Callable[[Any], Any]) -> Any:
    async def run() -> Any:
        async with AsyncClient(url) as client:
            return await use(client)

    return asyncio.run(run())


@pytest.mark.parametrize("ask", [by_client, by_async_client], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", nested(1)),
        ("gzip, gzip, gzip", nested(3)),
        ("deflate", zlib.compress(bytes(8 << 20), 9)),
        ("br", b"x"),
        ("x-unknown", b"x"),
    ],
    ids=["gzip", "nested", "deflate", "br", "unknown"],
)
@pytest.mark.parametrize("status", [200, 503])
def test_a_compressed_answer_is_refused_before_it_takes_memory(
    ask: Callable[..., Any], coding: str, body: bytes, status: int
) -> None:
    with answering(status, coding, body) as (url, heads):
        ask_live = lambda client: client.send(health.await_ready())  # noqa: E731 - it is waited for
        tracemalloc.start()
        try:
            with pytest.raises(ServiceUnreachableError, match="compressed") as caught:
                ask(url, ask_live)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert coding in str(caught.value)
    assert most < SMALL
    assert len(heads) == 1
    assert b"\r\naccept-encoding: identity\r\n" in heads[0].lower()


@pytest.mark.parametrize("ask", [by_client, by_async_client], ids=["sync", "async"])
def test_an_answer_that_says_it_is_as_it_is_is_taken(ask: Callable[..., Any]) -> None:
    with answering(200, "identity", LIVE.content) as (url, _):
        assert ask(url, lambda client: client.live()).status == "live"


def test_an_answer_that_is_too_long_is_not_asked_for_again() -> None:
    seen: list[httpx.Request] = []
    long = httpx.Response(200, content=b"x" * 17 * 1024 * 1024)
    with (
        Client("http://x", transport=replying([long], seen)) as client,
        pytest.raises(ServiceUnreachableError, match="longer than"),
    ):
        client.delete_where(only_view="rear").__next__()
    assert len(seen) == 1
