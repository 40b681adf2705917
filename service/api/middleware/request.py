"""What surrounds every request: its id, log line and count."""

from __future__ import annotations

import time
from contextlib import nullcontext

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems
from service.api.context import RequestContext, path_of
from service.identifiers import request_id
from service.observability.metrics import Metrics

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-ID"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
QUIET_ROUTES = frozenset({"/health/live", "/health/ready", "/metrics"})
UNCOUNTED_ROUTES = QUIET_ROUTES | {"/alerts/events"}
"""Not among the requests under way: listeners are always there, and cost nothing."""


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

        counted = nullcontext() if path_of(scope) in UNCOUNTED_ROUTES else self._metrics.under_way()
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
