"""The path prefix that a reverse proxy serves the service under: paths in answers begin with it."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class PrefixMiddleware:
    """Gives each request the prefix that is set, whether or not the proxy strips it from the paths.

    A prefix that the server has found out for this request, as `root_path` of the scope, goes before.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.get("root_path"):
            scope["root_path"] = self._prefix
        await self._app(scope, receive, send)
