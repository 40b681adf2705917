"""Admission: an upload gets a place before its body is read, so that neither many nor large ones fill memory.

A place is held from a request's head to its answer, and given back whatever ends it: an answer, an error, a
client that hangs up. The queue behind has its own bound (`service.inference.batcher`, or Redis); this one
stands in front of the bytes.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import problems
from service.inference.request import Overloaded


class Places:
    """Room for a number of uploads and for their bytes; of one event loop.

    Args:
        images: uploads at the same time.
        size: bytes of them all.
    """

    def __init__(self, images: int, size: int) -> None:
        self.taken = 0
        self._images = images
        self._size = size
        self._reserved = 0

    def take(self, size: int) -> None:
        """Take a place for an upload of `size` bytes at most; it has to be given back.

        Raises:
            Overloaded: there is none, or no room for the bytes.
        """
        if self.taken >= self._images:
            raise Overloaded(f"all {self._images} places for images are taken")
        if self._reserved + size > self._size:
            raise Overloaded(f"the {self._size:,} bytes that are kept for uploads are taken")
        self.taken += 1
        self._reserved += size

    def give_back(self, size: int) -> None:
        """Leave a place that was taken for `size` bytes."""
        self.taken -= 1
        self._reserved -= size


class AdmissionMiddleware:
    """Answers an upload by 503 at once where there is no place for it, without reading its body.

    Every POST is an upload. One that does not say its length counts as the longest.

    Args:
        places: of all uploads.
        max_bytes: of one body.
    """

    def __init__(self, app: ASGIApp, places: Places, max_bytes: int) -> None:
        self._app = app
        self._places = places
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        size = self._size(scope)
        try:
            self._places.take(size)
        except Overloaded as error:
            response = await problems.on_error(Request(scope), error)
            await response(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._places.give_back(size)

    def _size(self, scope: Scope) -> int:
        announced = Headers(scope=scope).get("content-length", "")
        return min(int(announced), self._max_bytes) if announced.isdecimal() else self._max_bytes
