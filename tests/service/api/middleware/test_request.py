"""What surrounds a request: its id, its bounds, its line in the log and its count."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import structlog

from service.api.middleware.request import QUIET_ROUTES
from tests.service.fakes import Running, picture, running

MEBIBYTE = 1024 * 1024


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, max_upload_bytes=MEBIBYTE) as it:
        yield it


def converse(service: Running, *parts: bytes) -> tuple[int, dict[str, Any]]:
    """Send a request's raw parts, without waiting to be asked for more, and read the answer."""
    address = urlsplit(service.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        stream = connection.makefile("rb")
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return status, json.loads(stream.read(length))


def head(*lines: str) -> bytes:
    return "\r\n".join(
        [
            "POST /gallery HTTP/1.1",
            "Host: localhost",
            "Content-Type: multipart/form-data; boundary=b",
            *lines,
            "",
            "",
        ]
    ).encode()


def test_an_upload_that_says_it_is_too_large_is_refused_before_it_is_sent(small: Running) -> None:
    status, problem = converse(small, head(f"Content-Length: {11 * MEBIBYTE}"))
    assert (status, problem["type"]) == (413, "urn:lka-reid:problem:upload-too-large")


def test_an_upload_without_length_is_refused_while_it_is_read(small: Running) -> None:
    chunk = b"%x\r\n" % MEBIBYTE + bytes(MEBIBYTE) + b"\r\n"
    opening = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
    first = b"%x\r\n" % len(opening) + opening + b"\r\n"
    # The body never ends: an answer can only come from counting while reading.
    status, problem = converse(small, head("Transfer-Encoding: chunked"), first, chunk, chunk)
    assert (status, problem["type"]) == (413, "urn:lka-reid:problem:upload-too-large")
    assert small.gallery.count() == 0


def test_an_image_over_the_limit_is_refused_though_the_form_is_not(small: Running) -> None:
    response = small.enroll(picture() + bytes(MEBIBYTE))
    assert response.status_code == 413
    assert "1,048,576" in response.json()["detail"]


def test_an_image_at_the_limit_is_accepted(small: Running) -> None:
    image = picture(kind="BMP")
    assert small.enroll(image + bytes(MEBIBYTE - len(image))).status_code == 201


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, request_deadline_s=0.2) as service:
        status, problem = converse(service, head("Content-Length: 100"))
        assert (status, problem["type"]) == (408, "urn:lka-reid:problem:request-timeout")


def test_a_client_that_hangs_up_during_the_upload_is_counted_as_gone(service: Running) -> None:
    address = urlsplit(service.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as connection:
        connection.sendall(head("Content-Length: 100"))
    while 'reason="client-closed-request"' not in service.client.get("/metrics").text:
        pass


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
    files = {"image": ("secret-name", picture())}
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
    request = service.client.build_request("POST", "/query", files={"image": ("x", picture())})
    lines = events(service, request)
    assert [line["event"] for line in lines] == ["request_failed", "request"]
    assert lines[0]["request_id"] == lines[1]["request_id"]
    assert lines[0]["exc_info"]
