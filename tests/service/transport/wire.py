"""Connections on which tests say what no client library would."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from service.api.app import create_app
from service.settings import Settings
from service.transport.bounds import Bounds
from tests.service.fakes import decode_pool, make_models, open_gallery, serving, wait_until_ready

HOST = b"Host: localhost"
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def head(*lines: bytes, first: bytes = b"GET /health/live HTTP/1.1") -> bytes:
    """The head of a request."""
    return b"\r\n".join([first, *lines, b"", b""])


@dataclass(frozen=True)
class Answer:
    """What came back on a connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document, checked for its form."""
        assert self.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        assert problem["instance"].startswith("/")
        assert self.headers["x-content-type-options"] == "nosniff"
        return problem

    @property
    def kind(self) -> str:
        """The problem's kind."""
        return str(self.problem["type"]).rpartition(":")[2]


class Wire:
    """A connection to a service."""

    def __init__(self, url: str, *data: bytes, timeout_s: float = 20, source: str = "127.0.0.1") -> None:
        address = urlsplit(url)
        target = (str(address.hostname), int(address.port or 0))
        self.socket = socket.create_connection(target, timeout_s, source_address=(source, 0))
        self.stream = self.socket.makefile("rb")
        for piece in data:
            self.send(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send; what the other side no longer takes is not missed."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def answer(self) -> Answer:
        """The next answer."""
        status = int(self.stream.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self.stream.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Answer(status, headers, self.stream.read(int(headers.get("content-length", 0))))

    def is_over(self) -> bool:
        """Whether the other side ends the connection without a word; waits until it does or says one."""
        try:
            return self.stream.read(1) == b""
        except ConnectionResetError:
            return True


@contextmanager
def bounded(folder: Any, bounds: Bounds | None = None, **settings: Any) -> Iterator[str]:
    """The URL of a service whose connections have these bounds."""
    with open_gallery(folder / "gallery") as gallery:
        app = create_app(
            Settings(data_dir=folder, **settings), models=make_models(), gallery=gallery, pool=decode_pool()
        )
        with serving(app, bounds) as url:
            with httpx.Client(base_url=url, timeout=20) as client:
                wait_until_ready(client)
            yield url
