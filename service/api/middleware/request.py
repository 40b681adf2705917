"""What surrounds every request: its id, log line and count; and the bounds of its body."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems
from service.api.context import RequestContext, path_of
from service.api.errors import CLIENT_GONE
from service.identifiers import request_id
from service.observability.metrics import Metrics

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-ID"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET_ROUTES = frozenset({"/health/live", "/health/ready", "/metrics"})


class RequestMiddleware:
    """Gives a request its id, answers what nobody foresaw, then logs and counts it.

    Neither log nor metrics hold a path: image ids stand in it. They name the route's template.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(request_id(Headers(scope=scope).get(REQUEST_ID)))
        scope.setdefault("state", {})["context"] = context
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = context.request_id
            await send(message)

        counted = nullcontext() if path_of(scope) in QUIET_ROUTES else self._metrics.under_way()
        with structlog.contextvars.bound_contextvars(request_id=context.request_id), counted:
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                log.exception("request_failed")
                if status:
                    raise
                response = await problems.on_error(Request(scope), error)
                await response(scope, receive, send_with_id)
            finally:
                self._record(scope, context, status)

    def _record(self, scope: Scope, context: RequestContext, status: int) -> None:
        rule = scope["state"].get("rule")
        route = "unmatched" if rule is None else rule.path
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.request(method, route, status)
        write = log.debug if route in QUIET_ROUTES and status < 400 else log.info
        milliseconds = round(1000 * (time.monotonic() - context.arrived), 1)
        write("request", method=method, route=route, status=status, ms=milliseconds)


class BodyMiddleware:
    """Bounds a request's body in bytes and in time, while it is being read.

    Args:
        max_bytes: of the whole body.
        max_seconds: from the request's arrival to the body's end.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        arrived = asyncio.get_running_loop().time()
        read = 0
        ended = False

        async def bounded_receive() -> Message:
            nonlocal read, ended
            if ended:
                return await receive()
            if announced.isdecimal() and int(announced) > self._max_bytes:
                raise self._too_large()
            try:
                async with asyncio.timeout_at(arrived + self._max_seconds):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body did not arrive within {self._max_seconds:g} s") from None
            if message["type"] == "http.disconnect":
                raise HTTPException(499, CLIENT_GONE.meaning)
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise self._too_large()
            ended = not message.get("more_body", False)
            return message

        await self._app(scope, bounded_receive, send)

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"a request's body may have {self._max_bytes:,} bytes at most")
