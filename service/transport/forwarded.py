"""What a reverse proxy that is trusted says of the request it passes on; nobody else is believed."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.proxies import TrustedProxies
from service.settings import PATH_PREFIX


class ForwardedMiddleware:
    """Takes client and scheme from `X-Forwarded-For` and `-Proto`, and the path prefix from `-Prefix`."""

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = ProxyHeadersMiddleware(app, trusted_hosts=proxies.text)  # type: ignore[arg-type]
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and client is not None and client[0] in self._proxies:
            prefix = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
            if re.fullmatch(PATH_PREFIX, prefix):
                scope["root_path"] = prefix
        await self._app(scope, receive, send)  # type: ignore[arg-type]
