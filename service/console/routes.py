"""`/` and the files that its page loads."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.console.assets import PAGE, assets

# Scripts and styles are files of the service; images are files too, or bytes that a script has fetched with
# its key. No script may make HTML of a string.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
# Kept, and asked for again each time: a 304 costs no bytes, and a new version of the service is seen at once.
CACHED = "private, no-cache"

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    """The console's page."""
    return _answer(request, PAGE)


@router.get("/console/{name}")
async def file(name: str, request: Request) -> Response:
    """A file of the console."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    found = assets().get(name)
    if found is None:
        raise HTTPException(404)
    headers = {"ETag": found.etag, "Cache-Control": CACHED, "Content-Security-Policy": POLICY}
    if found.is_known(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(found.data, media_type=found.media_type, headers=headers)
