"""The bounds of a request's body: in bytes and in time, and its place among the uploads of all."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.error_kinds import CLIENT_GONE, OVERLOADED, TIMEOUT, TOO_LARGE
from service.api.errors import ServiceError
from service.api.uploads import Upload, Uploads
from service.inference.request import Overloaded

GRACE_S = 5.0
MIN_BYTES_PER_S = 4096
"""The mean rate that a body must reach after GRACE_S: slower ones only keep a connection open."""
LATE_S = 0.25
"""s after a moment that is awaited, from which on the loop counts as held up."""
FORM = "multipart/form-data"


def is_form(headers: Headers) -> bool:
    """Whether a request's body is said to be a multipart form."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


class UploadMiddleware:
    """Reads a body for its route no further, and no longer, than is allowed.

    A body that is no multipart form reads as an empty one: no route takes any other, and `only_fields_of`
    says so.

    Args:
        uploads: of all requests.
        max_bytes: of a body with one image, and of a batch's.
        max_seconds: from the request's arrival to the body's end; the same of a batch's.
    """

    def __init__(
        self, app: ASGIApp, uploads: Uploads, max_bytes: tuple[int, int], max_seconds: tuple[float, float]
    ) -> None:
        self._app = app
        self._uploads = uploads
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rule = scope["state"].get("rule")
        kind = int(rule is not None and rule.is_batch)
        body = _Body(scope, receive, self._uploads, self._max_bytes[kind], self._max_seconds[kind])
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.end()


class _Body:
    """One request's body, while it is read."""

    def __init__(
        self, scope: Scope, receive: Receive, uploads: Uploads, max_bytes: int, max_seconds: float
    ) -> None:
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "0")
        self._caller: str = scope["state"].get("caller", "")
        self._is_form = is_form(headers)
        self._announced = int(announced) if announced.isdecimal() else 0
        self._receive = receive
        self._uploads = uploads
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._arrived = asyncio.get_running_loop().time()
        self._upload: Upload | None = None
        self._held_up = 0.0
        self._read = 0
        self._is_read = False

    async def receive(self) -> Message:
        """The next message of the server.

        Raises:
            ServiceError: CLIENT_GONE, TIMEOUT, TOO_LARGE; OVERLOADED, where there is no place for the
                upload, or where it had to make room for others.
        """
        if self._is_read:
            return await self._receive()
        if not self._is_form:
            self._is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._announced > self._max_bytes:
            raise self._too_large()
        try:
            return await self._read_on()
        except Overloaded as error:
            raise ServiceError(OVERLOADED, str(error)) from None

    async def _read_on(self) -> Message:
        if self._upload is None:
            self._upload = self._uploads.begin(self._caller)
        message = await self._next(self._upload)
        if message["type"] == "http.disconnect":
            raise ServiceError(CLIENT_GONE, CLIENT_GONE.meaning)
        arrived = len(message.get("body", b""))
        self._read += arrived
        if self._read > self._max_bytes:
            raise self._too_large()
        self._uploads.grow(self._upload, arrived)
        if not message.get("more_body", False):
            self._uploads.complete(self._upload)
            self._is_read = True
        return message

    def end(self) -> None:
        """Give back what the upload holds, whatever ended it."""
        if self._upload is not None:
            self._uploads.end(self._upload)

    async def _next(self, upload: Upload) -> Message:
        slowest = self._arrived + GRACE_S + self._read / MIN_BYTES_PER_S
        last = self._arrived + self._max_seconds
        try:
            return await self._in_time(upload, min(slowest, last))
        except TimeoutError:
            if upload.is_dropped:
                raise Overloaded("the upload made room for others: it took long to arrive") from None
            if slowest < last:
                reason = f"the body comes slower than {MIN_BYTES_PER_S:,} bytes a second"
            else:
                reason = f"the body did not arrive within {self._max_seconds:g} s"
            raise ServiceError(TIMEOUT, reason) from None

    async def _in_time(self, upload: Upload, until: float) -> Message:
        """The next message. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(until + self._held_up) as timeout:
                    upload.on_drop = lambda: timeout.reschedule(0)
                    if upload.is_dropped:
                        timeout.reschedule(0)
                    return await self._receive()
            except TimeoutError:
                late = loop.time() - until - self._held_up
                if upload.is_dropped or late < LATE_S:
                    raise
                # The loop was held up; what came meanwhile lies unread, and is no fault of whoever sent it.
                self._held_up += late + LATE_S
            finally:
                upload.on_drop = lambda: None

    def _too_large(self) -> ServiceError:
        return ServiceError(TOO_LARGE, f"a request's body may have {self._max_bytes:,} bytes at most")
