"""What surrounds a request: its id, its line in the log and its count."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import structlog

from service.api.middleware.request import QUIET_ROUTES
from tests.service.fakes import Running, image_file


@pytest.mark.parametrize("sent", ["abc-123", "0f3c.1:2_3", "x" * 128])
def test_a_sane_request_id_is_kept(shared_service: Running, sent: str) -> None:
    response = shared_service.client.get("/health/live", headers={"X-Request-ID": sent})
    assert response.headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, '"><script>', "\u00fc"])
def test_another_request_id_is_replaced(shared_service: Running, sent: str) -> None:
    response = shared_service.client.get("/health/live", headers=[(b"X-Request-ID", sent.encode())])
    assert len(response.headers["X-Request-ID"]) == 16


def events(service: Running, *calls: httpx.Request) -> list[dict[str, Any]]:
    """What is logged of these requests, and meanwhile."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        for call in calls:
            service.client.send(call)
        # A request's line comes after its answer; the ones of /health/ready are the fixture's.
        while True:
            found = [dict(event) for event in captured if event.get("route") not in QUIET_ROUTES]
            if sum(event["event"] == "request" for event in found) == len(calls):
                return found


def test_each_line_of_a_request_bears_its_id_and_no_name_of_image_or_vehicle(service: Running) -> None:
    def fail(_images: object) -> None:
        raise RuntimeError("broken")

    build = service.client.build_request
    fields = {"image_id": "secret-image", "vehicle_id": "secret-vehicle", "camera_id": "secret-camera"}
    files = {"image": ("secret-name", image_file())}
    lines = events(
        service,
        build("POST", "/gallery", data=fields, files=files),
        build("POST", "/gallery", data=fields, files=files),
        build("POST", "/gallery", data={**fields, "vehicle_id": "secret\0"}, files=files),
        build("POST", "/gallery", data=fields, files={"image": ("secret-name", b"secret-bytes")}),
        build("POST", "/query", files=files),
        build("GET", "/gallery/secret-image"),
        build("GET", "/gallery/secret-image/image"),
        build("GET", "/gallery/secret-other"),
        build("DELETE", "/gallery/secret-image"),
    )
    service.models.embedder.on_embed = fail
    lines += events(service, build("POST", "/gallery", data=fields, files=files))
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["status"] for line in requests] == [201, 409, 422, 409, 200, 200, 200, 404, 204, 500]
    assert "embedding_failed" in [line["event"] for line in lines]
    assert all(line["request_id"] for line in lines)
    assert {line["route"] for line in requests} == {
        "/gallery",
        "/query",
        "/gallery/{image_id:path}",
        "/gallery/{image_id:path}/image",
    }
    assert "secret" not in repr(lines)


def test_a_failure_nobody_foresaw_is_logged_with_its_traceback(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr(service.gallery, "count", fail)
    request = service.client.build_request("POST", "/query", files={"image": ("x", image_file())})
    lines = events(service, request)
    assert [line["event"] for line in lines] == ["request_failed", "request"]
    assert lines[0]["request_id"] == lines[1]["request_id"]
    assert lines[0]["exc_info"]
