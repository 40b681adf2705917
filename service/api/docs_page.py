"""/docs: the interface's description as a page that needs no CDN: the service has all its files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
# Swagger UI styles its elements in line, and its images are data: URLs; its scripts are files.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Paths relative to the page: they hold behind a proxy that adds a prefix.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LKA-ReID: the HTTP interface</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
CACHED = {"Cache-Control": "private, max-age=86400"}

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@router.get("/docs/{name}")
async def asset(name: str) -> Response:
    """A file of the page."""
    if name == "start.js":
        return Response(START, media_type="text/javascript", headers=CACHED)
    if name not in ASSETS:
        raise HTTPException(404)
    file = Path(str(resources.files("fastapi_offline") / "static" / name))
    return FileResponse(file, media_type=ASSETS[name], headers=CACHED)


@router.get("/openapi.json")
async def description(request: Request) -> JSONResponse:
    """The interface as an OpenAPI document, whose paths begin with the prefix of this request."""
    document = request.app.openapi()
    prefix = request.scope.get("root_path", "")
    return JSONResponse({**document, "servers": [{"url": prefix}]} if prefix else document)
