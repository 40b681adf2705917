"""HEAD: whatever answers GET answers HEAD as well, by the same headers without the body (RFC 9110, 9.3.2)."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Turns HEAD into GET for all that is within, and leaves the answer's body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                if message.get("more_body", False):
                    return
                message = {**message, "body": b""}
            await send(message)

        # So that what would go on for ever need not begin.
        scope["state"]["head"] = True
        # A copy: the server's own scope has to say HEAD, or it would wait for the announced bytes.
        await self._app({**scope, "method": "GET"}, receive, send_head)
