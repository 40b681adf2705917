"""A connection that is slow, idle or not read is ended when its time is over, and keeps no memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.transport.bounds import Bounds
from tests.service.fakes import image_file
from tests.service.transport.wire import GET, Wire, bounded

SHORT = Bounds(head_s=0.4, idle_s=0.8, drain_s=0.6, linger_s=0.4, stall_s=0.8, drain_bytes=1024 * 1024)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service whose bounds of time are short."""
    with bounded(tmp_path_factory.mktemp("short"), SHORT) as it:
        yield it


@pytest.mark.slow
def test_a_silent_connection_is_ended_and_a_slow_head_is_answered_so(short: str) -> None:
    with Wire(short) as silent, Wire(short, b"GET / HTTP/1.1\r\nHost: ") as slow:
        answer = slow.answer()
        assert (answer.status, answer.kind) == (408, "request-timeout")
        assert slow.is_over()
        assert silent.is_over()


@pytest.mark.slow
def test_a_head_that_trickles_is_slow(short: str) -> None:
    with Wire(short, GET) as wire:
        assert wire.answer().status == 200
        wire.socket.settimeout(0.05)
        head_so_far = b"GET / HTTP/1.1\r\nX: "
        for byte in head_so_far + b"a" * 40:  # for longer than a head may take
            wire.send(bytes([byte]))
            time.sleep(0.02)
        wire.socket.settimeout(20)
        assert wire.answer().status == 408


@pytest.mark.slow
def test_an_idle_connection_is_ended_and_one_that_is_used_is_not(short: str) -> None:
    with Wire(short, GET) as idle, Wire(short) as used:
        assert idle.answer().status == 200
        for _ in range(8):
            used.send(GET)
            assert used.answer().status == 200
            time.sleep(0.2)
        assert idle.is_over()
        used.send(GET)
        assert used.answer().status == 200


@pytest.mark.slow
@pytest.mark.parametrize("piece", [b"", b"x"])
def test_a_body_that_nobody_needs_is_not_waited_for(short: str, piece: bytes) -> None:
    unread = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    with Wire(short, unread) as wire:
        assert wire.answer().status == 200
        for _ in range(60 if piece else 0):
            wire.send(piece)
            time.sleep(0.02)
        assert wire.is_over()


def test_a_body_without_end_after_the_answer_is_ended(short: str) -> None:
    unread = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    with Wire(short, unread) as wire:
        assert wire.answer().status == 200
        for _ in range(100):
            wire.send(bytes(100_000))
        assert wire.is_over()


@pytest.mark.slow
def test_whoever_does_not_read_the_answer_is_left(tmp_path: Path) -> None:
    image = image_file(kind="BMP")
    with bounded(tmp_path, SHORT) as url:
        large = image + bytes(9 * 1024 * 1024)
        made = httpx.post(url + "/gallery", files={"image": ("x", large)}, data={"image_id": "a"}, timeout=20)
        assert made.status_code == 201
        with Wire(url, b"GET /gallery/a/image HTTP/1.1\r\nHost: localhost\r\n\r\n") as wire:
            time.sleep(3)
            # What lies on the way can still be read; the rest never comes.
            received = 0
            try:
                while piece := wire.socket.recv(65536):
                    received += len(piece)
            except ConnectionResetError:
                pass
            assert received < len(large)
        # One that reads slowly, and on, gets all of it.
        with Wire(
            url, b"GET /gallery/a/image HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ) as wire:
            received = 0
            while piece := wire.socket.recv(300_000):
                received += len(piece)
                time.sleep(0.05)
            assert received > len(large)


@pytest.mark.slow
def test_answers_that_nobody_reads_do_not_fill_memory(tmp_path: Path) -> None:
    image = image_file(kind="BMP")
    with bounded(tmp_path, Bounds(unread_bytes=8 * 1024 * 1024)) as url:
        large = image + bytes(5 * 1024 * 1024)
        httpx.post(url + "/gallery", files={"image": ("x", large)}, data={"image_id": "a"}, timeout=20)
        wires = [Wire(url, b"GET /gallery/a/image HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(6)]
        assert httpx.get(url + "/gallery/a/image", timeout=20).content == large

        def received(wire: Wire) -> int:
            wire.socket.settimeout(0.3)
            total = 0
            try:
                while piece := wire.socket.recv(1 << 20):
                    total += len(piece)
            except (ConnectionResetError, TimeoutError):
                pass
            return total

        time.sleep(0.5)
        whole = [received(wire) > len(large) for wire in wires]
        assert not all(whole)
        for wire in wires:
            wire.close()
