"""Clients that hang up: their place is free and their image is not computed."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.types import Message

from service.api.disconnect import while_connected
from service.api.error_kinds import CLIENT_GONE
from service.api.errors import ServiceError
from tests.service.fakes import image_file, running


def request_that(*messages: Message) -> Request:
    """A request whose connection says this, and then nothing."""
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"type": "http"}, receive)


def test_work_that_ends_first_is_answered() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(while_connected(request_that(), work())) == 7


def test_work_that_fails_fails_the_request() -> None:
    async def work() -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(while_connected(request_that(), work()))


def test_work_is_cancelled_when_the_client_hangs_up() -> None:
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    with pytest.raises(ServiceError) as caught:
        asyncio.run(while_connected(request_that({"type": "http.disconnect"}), work()))
    assert caught.value.kind is CLIENT_GONE
    assert cancelled


def test_who_hangs_up_leaves_the_queue(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service:
        entered, go = threading.Event(), threading.Event()

        def hold(_images: object) -> None:
            entered.set()
            assert go.wait(20)

        service.models.embedder.on_embed = hold
        embedder = service.app.state.lifecycle.resources.embedder
        first = threading.Thread(target=service.query)
        first.start()
        assert entered.wait(20)

        form = service.client.build_request("POST", "/query", files={"image": ("x", image_file())})
        body = form.read()
        address = urlsplit(service.url)
        head = (
            f"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: {form.headers['Content-Type']}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((str(address.hostname), int(address.port or 0))) as connection:
            connection.sendall(head.encode() + body)
            while embedder.state().depth < 1:
                pass
        while embedder.state().depth > 0:
            pass
        computed = len(service.models.embedder.batches)
        go.set()
        first.join(20)
        assert service.query().status_code == 200
        assert len(service.models.embedder.batches) == computed + 1
