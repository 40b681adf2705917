"""HEAD answers what GET does, without the body."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.service.api.test_problems import URN
from tests.service.fakes import Running


@pytest.fixture(scope="module")
def holding(shared_service: Running) -> Running:
    """The shared service, with one image enrolled."""
    shared_service.enroll(image_id="a")
    return shared_service


PATHS: tuple[str, ...] = (
    "/",
    "/docs",
    "/docs/start.js",
    "/docs/swagger-ui.css",
    "/openapi.json",
    "/health/live",
)
PATHS += ("/health/ready", "/metrics", "/gallery", "/gallery/a", "/gallery/a/image", "/gallery?limit=1")
CHANGING = {"date", "x-request-id"}


@pytest.mark.parametrize(
    "path", [*PATHS, "/gallery/none", "/gallery?limit=0", "/gallery?colour=red", "/nowhere"]
)
def test_it_has_the_status_and_headers_of_get_and_no_body(holding: Running, path: str) -> None:
    get, head = holding.client.get(path), holding.client.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers.keys() == get.headers.keys()
    # The length of these depends on the moment.
    changing = CHANGING | ({"content-length"} if path in ("/metrics", "/health/ready") else set())
    for name in get.headers.keys() - changing:
        assert head.headers[name] == get.headers[name], name
    assert int(head.headers["content-length"]) > 0


def test_the_connection_goes_on_after_it(holding: Running) -> None:
    for _ in range(3):
        assert holding.client.head("/gallery/a/image").status_code == 200
        assert holding.client.get("/gallery/a").json()["image_id"] == "a"


def test_where_get_is_not_served_neither_is_head(shared_service: Running) -> None:
    response = shared_service.client.head("/query")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert "HEAD" in shared_service.client.put("/gallery/a").headers["Allow"]


def test_it_is_counted_as_what_it_is(service: Running) -> None:
    service.client.head("/gallery")
    assert 'method="HEAD",route="/gallery",status="200"' in service.client.get("/metrics").text


def test_no_server_has_to_leave_the_body_out(shared_service: Running) -> None:
    async def ask(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(shared_service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.head(path)

    for path in ("/docs/start.js", "/docs/swagger-ui.css"):
        assert asyncio.run(ask(path)).content == b""
    refused = asyncio.run(ask("/gallery/a/b?colour=red"))
    assert (refused.status_code, refused.content) == (422, b"")
    assert refused.headers["content-type"] == "application/problem+json", URN
