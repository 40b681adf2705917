"""The path prefixes that the service is served under: paths in answers begin with them."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.context import path_of

VERSION: Final = "/v1"
"""Before every route of the interface, for callers that name the version they were written for."""
_OF_PEOPLE = ("/console/", "/docs")


class PrefixMiddleware:
    """Gives each request the prefix that is set, whether or not the proxy strips it from the paths.

    A prefix that the server has found out for this request, as `root_path` of the scope, goes before. `/v1`
    is one more prefix, so that all that reads a path, from the rules to the metrics, sees one route.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            prefix = scope.get("root_path") or self._prefix
            scope["root_path"] = prefix
            inside = path_of(scope)
            route = inside.removeprefix(VERSION)
            if inside.startswith(f"{VERSION}/") and route != "/" and not route.startswith(_OF_PEOPLE):
                scope["root_path"] = prefix.rstrip("/") + VERSION
                scope["path"] = scope["root_path"] + route
        await self._app(scope, receive, send)
