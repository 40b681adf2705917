"""What accompanies a request from its arrival to its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection
from starlette.types import Scope


@dataclass(frozen=True)
class RequestContext:
    """A request's id and the moment it arrived (`time.monotonic()`, s)."""

    request_id: str
    arrived: float = field(default_factory=time.monotonic)


def context_of(connection: HTTPConnection) -> RequestContext:
    """The context that `RequestMiddleware` gave this request."""
    context: RequestContext = connection.state.context
    return context


def route_of(scope: Scope) -> str:
    """Method and template of the route of a request; it holds no id."""
    rule = scope["state"].get("rule")
    return "unmatched" if rule is None else f"{rule.method} {rule.path}"


def path_of(scope: Scope) -> str:
    """The path as the routes' templates mean it: without the prefix that the application is served under."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "").rstrip("/")
    return path[len(prefix) :] if prefix and path.startswith(prefix + "/") else path
