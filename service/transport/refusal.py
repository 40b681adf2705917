"""Answers that end a connection: to what is no request, and to what is still being sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus

from service.api import problems
from service.api.errors import ServiceError
from service.api.middleware.headers import HEADERS
from service.api.middleware.request import REQUEST_ID


def refusal(
    error: ServiceError, path: str, identifier: str, defaults: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """A whole answer, after which the connection ends.

    Args:
        path: that was asked for, as far as it came.
        identifier: of the request, by which the log has it.
        defaults: fields of every answer of the server.
    """
    response = problems.answer(error, path, identifier)
    fields = {**HEADERS, **dict(response.headers), REQUEST_ID: identifier, "Connection": "close"}
    head = [b"HTTP/1.1 %d %s" % (response.status_code, HTTPStatus(response.status_code).phrase.encode())]
    head += [name + b": " + value for name, value in defaults]
    head += [f"{name}: {value}".encode("latin-1") for name, value in fields.items()]
    return b"\r\n".join([*head, b"", bytes(response.body)])


class AnswerTransport:
    """A connection as an answer sees it: it writes, and closing is left to whoever knows what still comes."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close
