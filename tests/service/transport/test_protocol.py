"""What comes on a connection: what is no request is answered 400, and a head or a body has an end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.fakes import image_file
from tests.service.transport.wire import GET, HOST, Wire, bounded, head

OPENING = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
POST = b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = OPENING + image_file() + b"\r\n--b--\r\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with bounded(tmp_path_factory.mktemp("usual")) as it:
        yield it


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03" + bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n\r\n",
        b"hello\r\n\r\n",
        head(HOST, first=b"GET /health/live HTTP/2.0"),
        head(HOST, first=b"GET /health/live HTTP/1.9"),
        head(HOST, first=b"FETCH /health/live HTTP/1.1"),
        head(HOST, first=b"GET /\x00 HTTP/1.1"),
        head(HOST, first="GET /ü HTTP/1.1".encode()),
        head(HOST, first=b"GET /a b HTTP/1.1"),
        head(HOST, first=b"GET http://localhost HTTP/1.1"),
        head(HOST, first=b"CONNECT localhost:80 HTTP/1.1"),
        head(HOST, b"X: a\x00b"),
        head(HOST, b"X\x00: a"),
        head(HOST, b"X : a"),
        head(HOST, b"X: a", b" folded"),
        head(HOST, b": a"),
        head(HOST, b"X: a\rb"),
        b"GET / HTTP/1.1\nHost: localhost\n\n",
        head(),
        head(HOST, HOST),
        head(HOST, b"Host: evil.example"),
        head(HOST, b"Content-Length: 1", b"Content-Length: 1") + b"x",
        head(HOST, b"Content-Length: 1", b"Content-Length: 2") + b"xy",
        head(HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head(HOST, b"Transfer-Encoding: chunked", b"Content-Length: 1") + b"0\r\n\r\n",
        head(HOST, b"Content-Length: -1"),
        head(HOST, b"Content-Length: +1") + b"x",
        head(HOST, b"Content-Length: 0x1") + b"x",
        head(HOST, b"Content-Length: 1, 1") + b"x",
        head(HOST, b"Content-Length:"),
        head(HOST, b"Content-Length: 99999999999999999999999"),
        head(HOST, b"Transfer-Encoding: gzip"),
        head(HOST, b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
        head(HOST, b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
        head(HOST, b"Transfer-Encoding: xchunked") + b"0\r\n\r\n",
        head(HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head(HOST, b"Transfer-Encoding:\x0bchunked") + b"0\r\n\r\n",
        head(HOST, first=b"DELETE /gallery/%ff HTTP/1.1"),
        head(HOST, first=b"GET /gallery/%ed%b3%bf HTTP/1.1"),
        head(HOST, first=b"GET /gallery?only_view=%ff HTTP/1.1"),
        head(HOST, b"Transfer-Encoding: chunked", first=b"GET /health/live HTTP/1.0") + b"0\r\n\r\n",
    ],
)
def test_what_means_nothing_or_two_things_is_refused_as_a_problem_and_the_connection_ends(
    url: str, sent: bytes
) -> None:
    with Wire(url, sent) as wire:
        answer = wire.answer()
        assert (answer.status, answer.kind) == (400, "malformed-request")
        assert answer.headers["connection"] == "close"
        assert wire.is_over()


@pytest.mark.parametrize(
    "sent",
    [
        head(HOST),
        head(HOST, b"X: \xff\xfe"),
        head(HOST, b"x" * 200 + b": a"),
        head(HOST, first=b"GET //health/live HTTP/1.1"),
        head(HOST, first=b"GET http://localhost/health/live HTTP/1.1"),
        head(first=b"GET /health/live HTTP/1.0"),
        head(HOST, b"Content-Length: 0"),
        head(HOST, b"Content-Length: 3") + b"abc",
        b"\r\n\r\n" + head(HOST),
    ],
)
def test_what_is_unusual_and_means_one_thing_is_answered(url: str, sent: bytes) -> None:
    with Wire(url, sent) as wire:
        assert wire.answer().status in (200, 404)


@pytest.mark.parametrize(
    "path", [b"*", b"/%00", b"/gallery/%ef%bf%bd", b"/gallery/%2e%2e/x", b"//evil/x", b"/#a"]
)
def test_odd_targets_are_not_served(url: str, path: bytes) -> None:
    with Wire(url, head(HOST, first=b"GET " + path + b" HTTP/1.1")) as wire:
        assert wire.answer().status in (200, 404, 422)


def test_the_problem_bears_the_id_that_was_sent(url: str) -> None:
    with Wire(url, head(HOST, b"X-Request-ID: abc-1", HOST)) as wire:
        assert wire.answer().problem["request_id"] == "abc-1"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET /" + b"a" * 100_000],
        [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"],
        [head()[:-2] + b"X: "] + [b"a" * 10_000] * 10,
        [head()[:-2] + b"a" * 100_000],
        [head(HOST, b"X: " + b"a" * 70_000)],
        [head(HOST, *(b"X%d: a" % number for number in range(200)))],
        [head(HOST)[:-2]] + [b"X: a\r\n" * 50] * 3,
        [b"\r\n" * 40_000],
        [GET, head(HOST)[:-2] + b"X: "] + [b"a" * 10_000] * 10,
    ],
    ids=[
        "target",
        "whole target",
        "value",
        "name",
        "whole value",
        "fields",
        "fields later",
        "nothing",
        "second",
    ],
)
def test_a_head_without_end_is_ended(url: str, pieces: list[bytes]) -> None:
    with Wire(url, *pieces) as wire:
        answer = wire.answer()
        if pieces[0] == GET:
            assert answer.status == 200
            answer = wire.answer()
        assert (answer.status, answer.kind) == (431, "request-head-too-large")
        assert wire.is_over()


def test_a_head_within_its_bounds_is_read_in_any_pieces(url: str) -> None:
    whole = head(HOST, *(b"X%d: %s" % (number, b"a" * 640) for number in range(98)))
    assert 60_000 < len(whole) < 65_536
    with Wire(url, whole) as wire:
        assert wire.answer().status == 200
        for start in range(0, len(whole), 997):
            wire.send(whole[start : start + 997])
        assert wire.answer().status == 200


def test_requests_that_come_together_are_answered_in_order_however_long_their_heads(
    url: str,
) -> None:
    one = head(HOST, b"X: " + b"a" * 20_000)
    with Wire(url, one * 6 + head(HOST, first=b"GET /nowhere HTTP/1.1")) as wire:
        assert [wire.answer().status for _ in range(7)] == [200] * 6 + [404]


def test_more_requests_than_may_wait_are_not_answered_but_those_before_them_are(url: str) -> None:
    with Wire(url, GET * 5000) as wire:
        answered = 0
        while (line := wire.stream.readline()) != b"":
            answered += line.startswith(b"HTTP/1.1 ")
            assert not line.startswith(b"HTTP/1.1 5")
        assert 1 <= answered <= 20


def test_what_comes_broken_after_a_request_leaves_its_answer_alone(url: str) -> None:
    post = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with Wire(url, post + b"\x00\x00broken\r\n\r\n") as wire:
        assert wire.answer().status == 200
        assert wire.is_over()
    with Wire(url, post + GET + b"\x00\x00broken\r\n\r\n") as wire:
        assert [wire.answer().status, wire.answer().status] == [200, 200]
        assert wire.is_over()


@pytest.mark.parametrize(
    "chunks",
    [
        b"ffffffffffffffffff\r\n",
        b"-1\r\n",
        b"1\r\nxyz\r\n",
        b"zz\r\n",
        b"1\nx\n0\n\n",
        b"4\r\n--b\r\r\nx",
    ],
)
def test_a_body_whose_chunks_are_broken_is_refused(url: str, chunks: bytes) -> None:
    with Wire(url, CHUNKED + chunks) as wire:
        answer = wire.answer()
        assert (answer.status, answer.kind) == (400, "malformed-request")
        assert wire.is_over()


@pytest.mark.parametrize(
    "endless",
    [b"1;" + b"a" * 100_000, b"0" * 100_000, b"1;a=b\r\nx\r\n" * 20_000, b"0\r\n" + b"X: a\r\n" * 20_000],
    ids=["extension", "size", "extensions", "trailers"],
)
def test_what_is_endless_in_a_body_without_being_one_is_ended(url: str, endless: bytes) -> None:
    with Wire(url, CHUNKED) as wire:
        for start in range(0, len(endless), 8192):
            wire.send(endless[start : start + 8192])
        answer = wire.answer()
        assert answer.status in (400, 431)
        assert answer.kind in ("malformed-request", "request-head-too-large")


def test_small_chunks_with_extensions_are_a_body(url: str) -> None:
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in BODY)
    with Wire(url, CHUNKED + chunks + b"0\r\nX-Trailer: a\r\n\r\n") as wire:
        assert wire.answer().status == 200
        wire.send(GET)
        assert wire.answer().status == 200


def test_a_trailer_is_no_header(tmp_path: Path) -> None:
    with bounded(tmp_path, rate_per_s=0) as url:
        trailer = b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: evil.example\r\nX-Request-ID: late\r\n\r\n"
        with Wire(url, b"POST /query HTTP/1.1\r\nHost: localhost\r\n" + trailer) as wire:
            answer = wire.answer()
            assert answer.status == 422
            assert answer.problem["request_id"] != "late"


def test_an_upgrade_is_not_taken_and_its_request_is_answered(url: str) -> None:
    # As the HTTP client of Java, and curl --http2, send their first request.
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    lengths: tuple[bytes, ...] = (b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY,)
    lengths += (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",)
    for framed in lengths:
        for size in (7, 100_000):
            sent = POST + upgrade + framed + GET
            with Wire(url) as wire:
                for start in range(0, len(sent), size):
                    wire.send(sent[start : start + size])
                assert b'"matches"' in wire.answer().body
                assert b'"live"' in wire.answer().body
    with Wire(url, GET[:-2] + upgrade + b"\r\n" + GET) as wire:
        assert [wire.answer().status for _ in range(2)] == [200, 200]


def test_a_client_that_asks_first_is_reported_to_go_on_or_refused(url: str) -> None:
    expecting = POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with Wire(url, expecting % len(BODY)) as wire:
        assert wire.stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert wire.stream.readline() == b"\r\n"
        wire.send(BODY)
        assert wire.answer().status == 200
    with Wire(url, expecting % 10**9) as wire:
        assert wire.answer().kind == "upload-too-large"


def test_an_answer_before_the_end_of_the_body_says_that_it_is_the_last_here(url: str) -> None:
    with Wire(url, b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n") as wire:
        wire.send(bytes(1_000_000))
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        wire.send(bytes(2_000_000))
        assert wire.is_over()


def test_a_client_that_sends_too_much_again_and_again_is_answered_each_time(url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        for _ in range(20):
            assert client.post("/nowhere", content=bytes(600_000)).status_code == 404
            assert client.get("/health/live").status_code == 200


@pytest.mark.slow
def test_an_answer_that_ends_the_connection_early_is_not_lost_to_what_still_comes(url: str) -> None:
    for path in (b"/nowhere", b"/query?a=1"):
        first = b"POST " + path + b" HTTP/1.1"
        with Wire(url, head(HOST, b"Connection: close", b"Content-Length: 3000000", first=first)) as wire:
            time.sleep(0.2)
            for _ in range(30):
                wire.send(bytes(100_000))
            assert wire.answer().status in (404, 422)
            assert wire.is_over()


def test_a_client_that_leaves_before_its_first_answer_is_whole_is_no_failure(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    large = head(HOST, first=b"GET /docs/swagger-ui-bundle.js HTTP/1.1")
    for _ in range(5):
        with Wire(url, large * 4) as wire:
            assert wire.stream.read(1000)
    assert httpx.get(url + "/health/live").status_code == 200
    assert "Exception in ASGI application" not in caplog.text
