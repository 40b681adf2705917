"""Admission: a full service answers before an upload is sent, and places come back whatever ends it."""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.api.middleware.admission import Places
from service.inference.request import Overloaded
from tests.service.command_line import serving_process
from tests.service.fakes import Running, picture, running, write_bundle

MEBIBYTE = 1024 * 1024
OPENING = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'


class Upload:
    """An upload on a socket of its own, sent piece by piece."""

    def __init__(self, url: str, size: int | None) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=20)
        length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
        head = ("POST /query HTTP/1.1", "Host: localhost", "Content-Type: multipart/form-data; boundary=b")
        self.socket.sendall("\r\n".join([*head, length, "", ""]).encode())

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and problem."""
        stream = self.socket.makefile("rb")
        status = int(stream.readline().split()[1])
        headers = {}
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, json.loads(stream.read(int(headers["content-length"])))


def gauge(url: str, name: str) -> float:
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").text):
        for sample in family.samples:
            if sample.name == name:
                return sample.value
    raise AssertionError(f"no {name}")


def wait_for_depth(service: Running, depth: int) -> None:
    until = time.monotonic() + 20
    while gauge(service.url, "lka_reid_queue_depth") != depth:
        assert time.monotonic() < until


def assert_refused(answer: tuple[int, dict[str, str], dict[str, Any]], words: str) -> None:
    status, headers, problem = answer
    assert status == 503
    assert headers["retry-after"] == "1"
    assert headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:lka-reid:problem:overloaded"
    assert words in problem["detail"]


def test_a_full_service_answers_before_the_body_is_sent_and_a_client_that_leaves_frees_its_place(
    tmp_path: Path,
) -> None:
    with running(tmp_path, max_queue=2, max_batch=1) as service:
        with Upload(service.url, 1000), Upload(service.url, 1000), Upload(service.url, 1000):
            wait_for_depth(service, 3)
            with Upload(service.url, 1000) as one_more:
                assert_refused(one_more.answer(), "all 3 places for images are taken")
            # What is no upload has no need of a place.
            assert service.client.get("/health/ready").status_code == 200
        wait_for_depth(service, 0)
        assert service.query().status_code == 200


def test_a_client_that_leaves_while_it_waits_frees_its_place(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service:
        entered, go = threading.Event(), threading.Event()

        def hold(_images: object) -> None:
            entered.set()
            assert go.wait(20)

        service.models.embedder.on_embed = hold
        body = OPENING + picture() + b"\r\n--b--\r\n"
        with Upload(service.url, len(body)) as first, Upload(service.url, len(body)) as second:
            first.socket.sendall(body)
            assert entered.wait(20)
            second.socket.sendall(body)
            wait_for_depth(service, 2)
            with Upload(service.url, len(body)) as third:
                assert_refused(third.answer(), "all 2 places")
        wait_for_depth(service, 0)
        go.set()
        assert service.query().status_code == 200


def test_an_upload_that_fails_frees_its_place(tmp_path: Path) -> None:
    with running(tmp_path, max_queue=1, max_batch=1) as service:
        for _ in range(3):
            assert service.query(b"no image").status_code == 422
            assert service.client.post("/query", content=b"no form").status_code == 422
            assert service.client.post("/nowhere").status_code == 404
        assert gauge(service.url, "lka_reid_queue_depth") == 0


def test_large_uploads_are_let_in_by_their_bytes(tmp_path: Path) -> None:
    with running(tmp_path, max_upload_bytes=4 * MEBIBYTE, max_held_bytes=6 * MEBIBYTE) as service:
        with Upload(service.url, 4 * MEBIBYTE), Upload(service.url, MEBIBYTE):
            wait_for_depth(service, 2)
            with Upload(service.url, 2 * MEBIBYTE) as large:
                assert_refused(large.answer(), "6,291,456 bytes that are kept for uploads")
            # One that does not say its length may be as large as any.
            with Upload(service.url, None) as unknown:
                assert_refused(unknown.answer(), "bytes")
            assert service.query().status_code == 200
        wait_for_depth(service, 0)


def test_one_upload_of_the_largest_size_is_always_let_in(tmp_path: Path) -> None:
    with running(tmp_path, max_upload_bytes=MEBIBYTE, max_held_bytes=1024) as service:
        image = picture(kind="BMP")
        assert service.query(image + bytes(MEBIBYTE - len(image))).status_code == 200


def test_places_are_counted() -> None:
    places = Places(images=2, size=10)
    places.take(4)
    places.take(6)
    assert places.taken == 2
    for size in (0, 1):
        with pytest.raises(Overloaded, match="all 2 places"):
            places.take(size)
    places.give_back(6)
    with pytest.raises(Overloaded, match="10 bytes"):
        places.take(7)
    places.take(6)


@pytest.mark.slow
def test_a_thousand_slow_uploads_leave_memory_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece, places = MEBIBYTE // 4, 32
    waves, per_wave = 5, 200
    monkeypatch.setenv("LKA_REID_MAX_QUEUE", str(places - 8))
    monkeypatch.setenv("LKA_REID_REQUEST_DEADLINE_S", "60")
    bundle = write_bundle(tmp_path / "bundle")
    with (
        serving_process(
            "--data-dir", tmp_path / "data", "--bundle", bundle, "--log-level", "error"
        ) as service,
        ExitStack() as slow,
        selectors.DefaultSelector() as answers,
    ):
        before = gauge(service.url, "process_resident_memory_bytes")

        def begin(uploads: int, until: ExitStack) -> list[Upload]:
            begun = [until.enter_context(Upload(service.url, 8 * MEBIBYTE)) for _ in range(uploads)]
            for upload in begun:
                upload.socket.sendall(OPENING + bytes(piece))
            return begun

        for upload in begin(places, slow):
            answers.register(upload.socket, selectors.EVENT_READ)
        for _ in range(waves):
            with ExitStack() as wave:
                assert {upload.answer()[0] for upload in begin(per_wave, wave)} == {503}
        assert not answers.select(0), "those that have a place go on"
        assert gauge(service.url, "lka_reid_queue_depth") == places
        grown = gauge(service.url, "process_resident_memory_bytes") - before
        assert grown < places * piece + 48 * MEBIBYTE
