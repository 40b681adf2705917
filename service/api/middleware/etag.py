"""Entity tags (RFC 9110, 8.8.3 and 13.1.2): what a caller has already is answered by 304, without its bytes.

The tag is a hash of the answer, so that nothing has to be kept for it: an image that is deleted and enrolled
anew under its id, and a record that is amended, have another. Answers are still for no cache (`no-store`): a
tag is for programs that keep what they fetched on purpose.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.rules import ONE_IMAGE, ONE_PROBE, ONE_WATCH, Rule
from service.api.tags import etag, is_named

TAGGED = frozenset(
    {ONE_IMAGE, f"{ONE_IMAGE}/image", f"{ONE_PROBE}/image", f"{ONE_WATCH}/image", "/openapi.json"}
)
"""Routes whose answers stay the same for long, or are large."""
OF_A_BODY = ("content-length", "content-type")


def has_tag(rule: Rule | None) -> bool:
    """Whether answers to requests of this rule have a tag."""
    return rule is not None and rule.method == "GET" and rule.path in TAGGED


class EtagMiddleware:
    """Gives whole answers 200 of TAGGED their tag, and answers 304 instead where the request names it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_tag(scope["state"].get("rule")):
            await self._app(scope, receive, send)
            return
        known = ", ".join(Headers(scope=scope).getlist("if-none-match"))
        begun: Message | None = None

        async def tagged(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and message["status"] == 200:
                begun = message
                return
            if begun is not None:
                start, begun = begun, None
                body = message.get("body", b"")
                if not message.get("more_body", False):
                    headers = MutableHeaders(scope=start)
                    if "ETag" not in headers:
                        headers["ETag"] = etag(body)
                    if is_named(headers["ETag"], known):
                        for name in OF_A_BODY:
                            del headers[name]
                        start, message = {**start, "status": 304}, {**message, "body": b""}
                await send(start)
            await send(message)

        await self._app(scope, receive, tagged)
