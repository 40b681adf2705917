"""Errors over the wire: one form, a status for each kind, the fields named, and nothing given away."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.error_kinds import KINDS
from tests.service.fakes import Running, image_file, running

URN = "urn:lka-reid:problem:"


def check(response: httpx.Response, status: int, kind: str, *fields: str) -> dict[str, Any]:
    """Every problem has this form."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == URN + kind
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"].startswith("/")
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert [fault["field"] for fault in problem.get("errors", [])] == list(fields)
    return problem


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("route", ["query", "enroll"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an image",
        image_file(kind="JPEG")[:200],
        image_file()[:60],
        png(20_000, 20_000),
        b"GIF89a" + bytes(50),
        b"%PDF-1.7",
    ],
    ids=["empty", "text", "cut JPEG", "cut PNG", "bomb", "GIF", "PDF"],
)
def test_what_is_no_usable_image_is_refused_and_changes_nothing(
    shared_service: Running, route: str, data: bytes
) -> None:
    post = f"/{'query' if route == 'query' else 'gallery'}"
    response = shared_service.client.post(post, files={"image": ("x.jpg", data)})
    check(response, 422, "not-an-image", "image")
    assert shared_service.gallery.count() == 0


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": 101}, "top_k"),
        ({"top_k": "ten"}, "top_k"),
        ({"top_k": "1e1"}, "top_k"),
        ({"rerank": "perhaps"}, "rerank"),
        ({"topk": 5}, "topk"),
        ({"vehicle_id": "v"}, "vehicle_id"),
        ({"top_k": ["1", "2"]}, "top_k"),
    ],
)
def test_a_wrong_field_of_a_query_is_named(
    shared_service: Running, fields: dict[str, Any], named: str
) -> None:
    check(shared_service.query(**fields), 422, "invalid-fields", named)


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("captured_at", "2024-05-17T08:30:00", "offset"),
        ("captured_at", "2024-05-17", "offset"),
        ("captured_at", "1715934600", "ISO 8601"),
        ("captured_at", "yesterday", "ISO 8601"),
        ("captured_at", "0001-01-01T00:00:00+05:00", "years"),
        ("image_id", "a\0b", "printable"),
        ("image_id", "/a", "segments"),
        ("image_id", "a/", "segments"),
        ("image_id", "a//b", "segments"),
        ("image_id", "a/../b", "segments"),
        ("image_id", "a/image", "image"),
        ("image_id", " a", "space"),
        ("image_id", "x" * 513, "512"),
        ("vehicle_id", "v\0", "printable"),
        ("vehicle_id", "x" * 257, "256"),
        ("camera_id", "c\n", "printable"),
        ("camera_id", "..", "is '..', which is not a legal camera id"),
        ("camera_id", "./x", "segments"),
        ("view", "\u202efront", "printable"),
        ("colour", "red", "image_id, vehicle_id"),
    ],
)
def test_a_wrong_field_of_an_enrollment_is_named_with_what_it_takes(
    shared_service: Running, field: str, value: str, hint: str
) -> None:
    fields: dict[str, Any] = {field: value}
    problem = check(shared_service.enroll(**fields), 422, "invalid-fields", field)
    assert hint in problem["errors"][0]["message"]
    assert shared_service.gallery.count() == 0


def test_all_wrong_fields_are_named_at_once(shared_service: Running) -> None:
    response = shared_service.enroll(captured_at="x", image_id="/", tags=["ok", "\0"])
    check(response, 422, "invalid-fields", "image_id", "captured_at", "tags.1")


@pytest.mark.parametrize(
    "body",
    [
        {"files": {}},
        {"json": {"image": "x"}},
        {"data": {"image": "x"}},
        {"data": {"top_k": "3"}},
        {"files": {"image": ("", b"")}},
        {"files": [("image", ("a", b"a")), ("image", ("b", b"b"))]},
    ],
    ids=["nothing", "JSON", "text", "no image", "empty part", "twice"],
)
def test_a_form_without_one_image_is_answered_how_to_send_it(
    shared_service: Running, body: dict[str, Any]
) -> None:
    check(shared_service.client.post("/query", **body), 422, "invalid-fields", "image")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_form_that_cannot_be_read_is_malformed(shared_service: Running, content_type: str) -> None:
    response = shared_service.client.post(
        "/query", content=b"no form", headers={"Content-Type": content_type}
    )
    check(response, 400, "malformed-request")


def test_the_frameworks_own_errors_have_the_same_form(shared_service: Running) -> None:
    check(shared_service.client.get("/nowhere"), 404, "no-such-route")
    response = shared_service.client.put("/query")
    check(response, 405, "method-not-allowed")
    assert response.headers["Allow"] == "POST"
    check(shared_service.client.get("/gallery/nothing"), 404, "unknown-image")


def test_a_failure_nobody_foresaw_says_nothing_of_its_cause(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise RuntimeError("password=123")

    monkeypatch.setattr(service.gallery, "count", fail)
    response = service.query()
    problem = check(response, 500, "internal-error")
    assert "123" not in str(problem)


def test_an_image_the_model_fails_on_is_answered_so_and_the_next_is_answered(service: Running) -> None:
    def fail(_images: object) -> None:
        raise RuntimeError("a kernel failed at 0xdeadbeef")

    service.models.embedder.on_embed = fail
    problem = check(service.enroll(), 500, "embedding-failed")
    assert "0xdeadbeef" not in str(problem)
    assert service.gallery.count() == 0
    service.models.embedder.on_embed = lambda _images: None
    assert service.enroll().status_code == 201


class Gate:
    """Holds the embedder, so that requests wait."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, _images: object) -> None:
        self.entered.set()
        assert self.open.wait(20)


def in_background(call: Callable[[], httpx.Response], answers: list[httpx.Response]) -> threading.Thread:
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    return thread


def test_past_the_limit_of_the_queue_the_answer_is_503_at_once(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service:
        gate = service.models.embedder.on_embed = Gate()
        answers: list[httpx.Response] = []
        first = in_background(service.query, answers)
        assert gate.entered.wait(20)
        second = in_background(service.query, answers)
        resources = service.app.state.lifecycle.resources
        while resources.embedder.state().depth < 1:
            pass
        response = service.query()
        check(response, 503, "overloaded")
        assert response.headers["Retry-After"] == "1"
        gate.open.set()
        for thread in (first, second):
            thread.join(20)
        assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.slow
def test_past_its_deadline_a_request_is_dropped_and_nothing_changed(tmp_path: Path) -> None:
    with running(tmp_path, request_deadline_s=0.2) as service:
        gate = service.models.embedder.on_embed = Gate()
        check(service.enroll(), 504, "deadline-exceeded")
        gate.open.set()
        assert service.gallery.count() == 0


def test_every_kind_has_a_status_of_its_class_and_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(400 <= kind.status < 600 for kind in KINDS)
    causes = [cause for kind in KINDS for cause in kind.causes]
    assert len(set(causes)) == len(causes)
