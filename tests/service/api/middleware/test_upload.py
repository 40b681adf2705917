"""Uploads: slow and silent ones take nothing from others, and bounds hold whatever ends one."""

from __future__ import annotations

import json
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.api.middleware import upload as bounds
from tests.service.command_line import serving_process
from tests.service.fakes import Running, image_file, running, write_bundle

MEBIBYTE = 1024 * 1024
OPENING = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
CLOSING = b"\r\n--b--\r\n"
MULTIPART = "multipart/form-data; boundary=b"

Answer = tuple[int, dict[str, str], dict[str, Any]]


class Upload:
    """An upload on a socket of its own, sent piece by piece."""

    def __init__(self, url: str, size: int | None, *, content_type: str = MULTIPART, more: str = "") -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=20)
        length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
        head = ["POST /query HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", length]
        self.send("\r\n".join([*head, *filter(None, [more]), "", ""]).encode())

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Answer:
        """Status, headers and problem."""
        stream = self.socket.makefile("rb")
        status = int(stream.readline().split()[1])
        headers = {}
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, json.loads(stream.read(int(headers["content-length"])))


def gauge(url: str, name: str) -> float:
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=30).text):
        for sample in family.samples:
            if sample.name == name:
                return sample.value
    raise AssertionError(f"no {name}")


def wait_for_depth(service: Running, depth: int) -> None:
    until = time.monotonic() + 20
    while gauge(service.url, "lka_reid_queue_depth") != depth:
        assert time.monotonic() < until


def assert_problem(answer: Answer, status: int, kind: str, words: str = "") -> None:
    got, headers, problem = answer
    assert (got, problem["type"]) == (status, f"urn:lka-reid:problem:{kind}"), problem
    assert headers["content-type"] == "application/problem+json"
    assert words in problem["detail"]
    assert (headers.get("retry-after") == "1") is (status == 503)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, max_upload_bytes=MEBIBYTE) as it:
        yield it


class Hold:
    """Holds the embedder of a service, so that whole uploads wait."""

    def __init__(self, service: Running) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        service.models.embedder.on_embed = self

    def __call__(self, _images: object) -> None:
        self.entered.set()
        assert self.go.wait(20)


def test_uploads_that_do_not_come_take_no_place(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=2, max_batch=1) as service, ExitStack() as slow:
        for size in (1000, None) * 10:
            slow.enter_context(Upload(service.url, size)).send(b"1\r\n-" if size is None else OPENING)
        for _ in range(3):
            assert service.query().status_code == 200
        assert gauge(service.url, "lka_reid_queue_depth") == 0


def test_a_full_service_answers_before_the_body_is_sent(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service, ExitStack() as uploads:
        hold = Hold(service)
        body = OPENING + image_file() + CLOSING
        waiting = [uploads.enter_context(Upload(service.url, len(body))) for _ in range(2)]
        waiting[0].send(body)
        assert hold.entered.wait(20)
        waiting[1].send(body)
        wait_for_depth(service, 2)
        with Upload(service.url, 1000, more="Expect: 100-continue") as one_more:
            assert_problem(one_more.answer(), 503, "overloaded", "all 2 places for images are taken")
        # What is no upload has no need of a place.
        assert service.client.get("/health/live").status_code == 200
        hold.go.set()
        assert [upload.answer()[0] for upload in waiting] == [200, 200]
        wait_for_depth(service, 0)
        assert service.query().status_code == 200


def test_one_that_finds_no_place_at_its_end_is_answered_so(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service, ExitStack() as uploads:
        hold = Hold(service)
        body = OPENING + image_file() + CLOSING
        begun = [uploads.enter_context(Upload(service.url, len(body))) for _ in range(3)]
        for upload in begun:
            upload.send(body[:-1])
        begun[0].send(body[-1:])
        assert hold.entered.wait(20)
        begun[1].send(body[-1:])
        wait_for_depth(service, 2)
        begun[2].send(body[-1:])
        assert_problem(begun[2].answer(), 503, "overloaded", "all 2 places")
        hold.go.set()


@pytest.mark.slow
def test_a_client_that_leaves_while_it_waits_frees_its_place(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service:
        hold = Hold(service)
        body = OPENING + image_file() + CLOSING
        with Upload(service.url, len(body)) as first, Upload(service.url, len(body)) as second:
            first.send(body)
            assert hold.entered.wait(20)
            second.send(body)
            wait_for_depth(service, 2)
        wait_for_depth(service, 0)
        hold.go.set()
        assert service.query().status_code == 200


def test_an_upload_that_fails_frees_its_place(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service:
        for _ in range(3):
            assert service.query(b"no image").status_code == 422
            assert service.client.post("/query", content=b"no form").status_code == 422
            assert service.client.post("/nowhere").status_code == 404
        assert gauge(service.url, "lka_reid_queue_depth") == 0


@pytest.mark.slow
def test_where_the_bytes_are_taken_the_slowest_upload_makes_room(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_upload_bytes": 4 * MEBIBYTE, "max_held_bytes": 6 * MEBIBYTE}
    image = image_file(kind="BMP")
    image += bytes(MEBIBYTE - len(image))
    with running(tmp_path, **settings) as service, ExitStack() as uploads:
        stuck = [uploads.enter_context(Upload(service.url, 4 * MEBIBYTE)) for _ in range(2)]
        for upload in stuck:
            upload.send(OPENING + bytes(3 * MEBIBYTE - len(OPENING)))
        while service.app.state.uploads.held < 6 * MEBIBYTE:
            pass
        # For the first second all have only begun, and the new one is refused.
        until = time.monotonic() + 20
        while (answer := service.query(image)).status_code != 200:
            assert answer.json()["type"] == "urn:lka-reid:problem:overloaded"
            assert "6,291,456 bytes that are kept for uploads" in answer.json()["detail"]
            assert time.monotonic() < until
        with selectors.DefaultSelector() as answers:
            for upload in stuck:
                answers.register(upload.socket, selectors.EVENT_READ, upload)
            [(key, _)] = answers.select(20)
        assert_problem(key.data.answer(), 503, "overloaded", "made room for others")


def test_one_upload_of_the_largest_size_is_always_let_in(tmp_path: Path) -> None:
    with running(tmp_path, max_upload_bytes=MEBIBYTE, max_held_bytes=1024) as service:
        image = image_file(kind="BMP")
        assert service.query(image + bytes(MEBIBYTE - len(image))).status_code == 200


def test_an_upload_that_says_it_is_too_large_is_refused_before_it_is_sent(small: Running) -> None:
    with Upload(small.url, 11 * MEBIBYTE) as upload:
        assert_problem(upload.answer(), 413, "upload-too-large")


def test_an_upload_without_length_is_refused_while_it_is_read(small: Running) -> None:
    chunk = b"%x\r\n" % MEBIBYTE + bytes(MEBIBYTE) + b"\r\n"
    with Upload(small.url, None) as upload:
        # The body never ends: an answer can only come from counting while reading.
        upload.send(b"%x\r\n" % len(OPENING) + OPENING + b"\r\n" + chunk + chunk)
        assert_problem(upload.answer(), 413, "upload-too-large")
    assert small.gallery.count() == 0


def test_an_image_over_the_limit_is_refused_though_the_form_is_not(small: Running) -> None:
    response = small.enroll(image_file() + bytes(MEBIBYTE))
    assert response.status_code == 413
    assert "1,048,576" in response.json()["detail"]


def test_an_image_at_the_limit_is_accepted(small: Running) -> None:
    image = image_file(kind="BMP")
    assert small.enroll(image + bytes(MEBIBYTE - len(image))).status_code == 201


@pytest.mark.slow
def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, request_deadline_s=0.2) as service, Upload(service.url, 100) as upload:
        assert_problem(upload.answer(), 408, "request-timeout", "did not arrive within 0.2 s")


def test_a_body_that_trickles_is_not_waited_for(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "GRACE_S", 0.1)
    with Upload(service.url, 1000) as upload:
        upload.send(OPENING)
        assert_problem(upload.answer(), 408, "request-timeout", "slower than 4,096 bytes a second")


@pytest.mark.slow
def test_a_body_that_lies_unread_while_the_loop_is_held_up_is_not_slow(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "GRACE_S", 0.5)
    body = OPENING + image_file() + CLOSING
    state = service.app.state.uploads
    begin, has_begun = state.begin, threading.Event()

    def begin_slowly(caller: str) -> object:
        upload = begin(caller)
        # The rest comes while nothing else can happen in the loop.
        assert has_begun.wait(20)
        upload_of_client.send(body[10:])
        time.sleep(1.5)
        return upload

    monkeypatch.setattr(state, "begin", begin_slowly)
    with Upload(service.url, len(body)) as upload_of_client:
        upload_of_client.send(body[:10])
        has_begun.set()
        assert upload_of_client.answer()[0] == 200


def test_a_client_that_hangs_up_during_the_upload_is_counted_as_gone(service: Running) -> None:
    with Upload(service.url, 100):
        pass
    while 'reason="client-closed-request"' not in service.client.get("/metrics").text:
        pass


def test_an_upload_needs_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A folder for temporary files that is not there fails as a full one does.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    image = image_file(kind="BMP")
    with running(tmp_path) as service:
        assert service.enroll(image + bytes(5 * MEBIBYTE)).status_code == 201


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json", "text/x"])
def test_a_body_of_another_kind_is_not_read(service: Running, content_type: str) -> None:
    # None of it is sent, and so none of it can have been read, or parsed: a megabyte of "&" takes a second.
    with Upload(service.url, MEBIBYTE, content_type=content_type) as upload:
        status, _, problem = upload.answer()
        assert (status, [fault["field"] for fault in problem["errors"]]) == (422, ["image"])


@pytest.mark.slow
def test_a_thousand_slow_uploads_leave_memory_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece, held = MEBIBYTE // 4, 16 * MEBIBYTE
    waves, per_wave = 5, 200
    monkeypatch.setenv("LKA_REID_MAX_HELD_BYTES", str(held))
    monkeypatch.setenv("LKA_REID_REQUEST_DEADLINE_S", "60")
    bundle = write_bundle(tmp_path / "bundle")
    with serving_process(
        "--data-dir", tmp_path / "data", "--bundle", bundle, "--log-level", "error"
    ) as service:
        before = gauge(service.url, "process_resident_memory_bytes")
        for _ in range(waves):
            with ExitStack() as wave:
                for _ in range(per_wave):
                    slow = wave.enter_context(Upload(service.url, 8 * MEBIBYTE))
                    slow.send(OPENING + bytes(piece))
                assert gauge(service.url, "lka_reid_queue_depth") == 0
                image = {"image": ("x", image_file())}
                while httpx.post(service.url + "/query", files=image, timeout=30).status_code != 200:
                    pass
        grown = gauge(service.url, "process_resident_memory_bytes") - before
        assert grown < held + 64 * MEBIBYTE
