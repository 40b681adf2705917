"""The command line's client: what it makes of answers, and of none."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lka_reid_client.calls import health
from lka_reid_client.calls.health import ready
from lka_reid_client.errors import AbandonedError, RefusedError, ServiceUnreachableError
from lka_reid_client.retry import LONGEST_WAIT_S, PATIENCE_S
from service.remote.http import Enrolled, ServiceClient
from tests.service.command_line import free_port
from tests.service.fakes import GREEN, Running, image_file

OURS = "urn:lka-reid:problem:"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "car.png"
    path.write_bytes(image_file())
    return path


def test_it_enrolls_once_and_queries(service: Running, image: Path) -> None:
    with ServiceClient(service.url + "/") as client:
        assert client.await_ready()["status"] == "ready"
        fields: dict[str, str | list[str]] = {"image_id": "a", "tags": ["x", "y"]}
        assert client.enroll(image, fields) == Enrolled(new=True)
        assert client.enroll(image, fields) == Enrolled(new=False, differs=())
        assert client.query(image, top_k=3, rerank=False)["reranked"] is False
        image.write_bytes(image_file(GREEN))
        assert client.enroll(image, {"image_id": "a", "view": "rear"}) == Enrolled(False, ("image", "view"))
    assert service.gallery.get("a").tags == ("x", "y")


def test_it_enrolls_batches_and_tells_of_each_image(service: Running) -> None:
    files = [image_file(), b"no image", image_file(GREEN)]
    fields: list[dict[str, str | list[str]]] = [
        {"image_id": "a", "tags": ["x", "y"]},
        {"image_id": "b"},
        {"image_id": "c", "captured_at": "2024-05-17T08:30:00Z"},
    ]
    with ServiceClient(service.url) as client:
        answers = client.enroll_many(files, fields)
        assert answers is not None
        assert [answers[0], answers[2]] == [Enrolled(new=True), Enrolled(new=True)]
        assert isinstance(answers[1], RefusedError)
        assert answers[1].status == 422
        assert "no image" in str(answers[1])
        again = client.enroll_many(files[:1], [fields[0] | {"view": "rear"}])
        assert again == [Enrolled(False, ("view",))]
        with pytest.raises(RefusedError, match="objects for 1 images"):
            client.enroll_many(files[:1], fields)
    assert service.gallery.get("a").tags == ("x", "y")


@pytest.mark.parametrize("name", ["caf\udce9.png", "new\nline.png", 'quo"te.png', "x" * 250])
def test_the_name_of_the_file_makes_no_difference(service: Running, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(image_file())
    with ServiceClient(service.url) as client:
        assert client.enroll(tmp_path / name, {"image_id": "a"}) == Enrolled(new=True)


def test_a_refusal_names_the_fields(service: Running, image: Path) -> None:
    with (
        ServiceClient(service.url) as client,
        pytest.raises(RefusedError, match=r"image_id is not a legal .*") as caught,
    ):
        client.enroll(image, {"image_id": "/"})
    assert caught.value.status == 422


def test_nobody_there_is_reported_with_the_remedy(image: Path) -> None:
    with (
        ServiceClient(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(ServiceUnreachableError, match="lka-reid serve"),
    ):
        client.query(image, top_k=1, rerank=True)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "http://[", "ftp://x", "", "http://\u2028", "http://a..b", "http://x:99999"]
)
def test_what_is_no_url_is_reported(url: str) -> None:
    with pytest.raises(ServiceUnreachableError), ServiceClient(url) as client:
        client.ready()


def test_a_key_that_no_header_can_hold_is_refused_and_not_shown() -> None:
    with pytest.raises(ServiceUnreachableError, match="API key") as caught:
        ServiceClient("http://x", "lka_secret\r\nX: y")
    assert "secret" not in str(caught.value)


def test_a_password_in_the_url_is_not_shown() -> None:
    url = f"http://ada:secret@127.0.0.1:{free_port()}"
    with ServiceClient(url) as client, pytest.raises(ServiceUnreachableError) as caught:
        client.ready()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_is_reported(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ServiceUnreachableError, match="proxy"):
        ServiceClient("http://somewhere.example")


def test_this_machine_is_asked_without_a_proxy(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    for url in (service.url, service.url.replace("127.0.0.1", "localhost")):
        with ServiceClient(url) as client:
            assert client.ready()["status"] == "ready"
    with (
        ServiceClient(f"http://[::1]:{free_port()}") as client,
        pytest.raises(ServiceUnreachableError, match="no service answers"),
    ):
        client.ready()


def test_certificates_that_cannot_be_read_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ServiceUnreachableError, match="SSL_CERT_FILE"):
        ServiceClient("https://somewhere.example")


Answering = Callable[[list[httpx.Response | Exception]], ServiceClient]


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Iterator[Answering]:
    """A client whose service gives these answers one after the other, and then the last for ever."""
    made: list[ServiceClient] = []

    def make(answers: list[httpx.Response | Exception]) -> ServiceClient:
        left = list(answers)

        def answer(_request: httpx.Request) -> httpx.Response:
            it = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(it, Exception):
                raise it
            return httpx.Response(it.status_code, headers=it.headers, content=it.content)

        client = ServiceClient("http://x", on_wait=lambda seconds, _reason: waits.append(seconds))
        monkeypatch.setattr(client.client._abandoned, "wait", lambda _seconds: False)
        client.client._http = httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))
        made.append(client)
        return client

    yield make
    for client in made:
        client.client._http.close()


def busy(status: int = 503, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=sent, json={"detail": "full", "type": f"{OURS}x"})


RECORD: dict[str, Any] = dict.fromkeys(("vehicle_id", "camera_id", "captured_at", "view", "vehicle_type")) | {
    "image_id": "a",
    "tags": [],
    "fingerprint": "f",
    "enrolled_at": "2026-03-04T05:06:07Z",
    "media_type": "image/png",
}
DONE = httpx.Response(201, json=RECORD)
A: dict[str, str | list[str]] = {"image_id": "a"}


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_it_comes_back_when_the_service_is_at_its_limit(
    answering: Answering, image: Path, waits: list[float], status: int
) -> None:
    client = answering([busy(status, Retry_After="3"), httpx.Response(status, text="<html>"), DONE])
    assert client.enroll(image, A).new
    assert waits == [3, 1]


@pytest.mark.parametrize("asked", ["1", "", "nan", "-5", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "soon"])
def test_it_gives_up_in_the_end_whatever_is_asked_of_it(
    answering: Answering, image: Path, waits: list[float], asked: str
) -> None:
    with pytest.raises(RefusedError, match=r"full \(given up after 120 s") as caught:
        answering([busy(Retry_After=asked)]).enroll(image, A)
    assert max(waits) <= LONGEST_WAIT_S
    assert PATIENCE_S - LONGEST_WAIT_S < sum(waits) <= PATIENCE_S
    assert ("come back in more than 1,000,000 s" in str(caught.value)) == (len(asked) > 20)


def test_an_upload_without_an_answer_is_sent_again_and_a_query_is_not(
    answering: Answering, image: Path
) -> None:
    failures: list[httpx.Response | Exception] = [httpx.ReadError("reset"), httpx.ConnectError("refused")]
    assert answering([*failures, DONE]).enroll(image, A).new
    with pytest.raises(ServiceUnreachableError, match="given up after 120 s"):
        answering(failures).enroll(image, A)
    with pytest.raises(ServiceUnreachableError, match="reset"):
        answering([*failures, DONE]).query(image, top_k=1, rerank=True)


def test_an_abandoned_wait_ends(image: Path) -> None:
    waiting = threading.Event()
    with ServiceClient("http://x", on_wait=lambda *_: waiting.set()) as client:
        client.client._http = httpx.Client(
            base_url="http://x", transport=httpx.MockTransport(lambda _: busy(Retry_After="30"))
        )

        def abandon() -> None:
            waiting.wait()
            client.abandon()

        threading.Thread(target=abandon).start()
        with pytest.raises(AbandonedError):
            client.enroll(image, A)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(200, text="<html>"), "http://x answered 200, but not as this service does"),
        (httpx.Response(200, json=["status"]), "not as this service does"),
        (httpx.Response(200, json={"ok": True}), "not as this service does"),
        (httpx.Response(200, content=b"[" * 100_000), "not as this service does"),
        (httpx.Response(200, content=b'{"status": "\xff"}'), "not as this service does"),
        (httpx.Response(404, json={"detail": "Not Found"}), "http://x answered 404: Not Found"),
        (httpx.Response(500, json={"detail": ["a"]}), "answered 500, but not as"),
        (httpx.Response(422, json={"detail": "d", "errors": [1, "x"]}), "answered 422: d"),
        (httpx.Response(401, json={"detail": "a key", "type": f"{OURS}key-required"}), "^a key; give a"),
        (httpx.Response(307, headers={"Location": "https://y/"}), "http://x sends on to https://y/; if that"),
        (httpx.Response(304), "sends on to nowhere"),
        (httpx.Response(503, json={"detail": "d" * 100_000}), "d{900}"),
    ],
)  # fmt: skip
def test_another_kind_of_service_is_recognised(
    answering: Answering, response: httpx.Response, message: str
) -> None:
    with pytest.raises(RefusedError, match=message) as caught:
        answering([response]).ready()
    assert len(str(caught.value)) < 1100


@pytest.mark.parametrize("matches", [None, {}, "x", [1], [{"rank": 1}]])
def test_matches_of_another_form_are_not_printed(answering: Answering, image: Path, matches: object) -> None:
    answer = {"matches": matches, "reranked": True, "gallery_size": 1, "timings_ms": {"total": 1.0}}
    with pytest.raises(RefusedError, match="not as this service does"):
        answering([httpx.Response(200, json=answer)]).query(image, top_k=1, rerank=True)


def test_an_answer_without_end_is_not_read_to_it(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ready", lambda: replace(ready(), max_bytes=1000))
    with pytest.raises(ServiceUnreachableError, match="longer than 1,000 bytes"):
        answering([httpx.Response(200, content=b"x" * 2000)]).ready()


@contextmanager
def speaking(talk: Callable[[socket.socket], Any]) -> Iterator[int]:
    """A server that does as it likes with its one connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def say(answer: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return talk


BODY = json.dumps({"status": "ready"}).encode()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "broke off its answer, or what answers there is another service"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is another service"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY, "broke off its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "broke off its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab", "is another service"),
    ],
    ids=["nothing", "ssh", "cut short", "chunk cut short", "no gzip"],
)
def test_an_answer_that_breaks_off_is_reported(answer: bytes, message: str) -> None:
    with speaking(say(answer)) as port, ServiceClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ServiceUnreachableError, match=message) as caught:
            client.ready()
        assert f"http://127.0.0.1:{port}" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_silence_is_reported_with_where_to_look() -> None:
    silent = threading.Event()
    with speaking(lambda _: silent.wait(10)) as port:
        with (
            ServiceClient(f"http://127.0.0.1:{port}", timeout_s=0.05) as client,
            pytest.raises(ServiceUnreachableError, match=r"did not answer within 0.05 s; .*/health/ready"),
        ):
            client.ready()
        silent.set()


def test_an_answer_that_never_ends_is_given_up() -> None:
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not ended.wait(0.02):
            connection.sendall(b"x")

    with speaking(drip) as port:
        with (
            ServiceClient(f"http://127.0.0.1:{port}", timeout_s=0.1) as client,
            pytest.raises(ServiceUnreachableError, match="did not answer within"),
        ):
            client.ready()
        ended.set()


def test_tls_where_there_is_none_is_reported() -> None:
    with (
        speaking(say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port,
        ServiceClient(f"https://127.0.0.1:{port}") as client,
        pytest.raises(ServiceUnreachableError, match="is it http:// and not https://"),
    ):
        client.ready()


def test_a_certificate_that_is_not_trusted_is_reported(answering: Answering) -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_message = "self-signed certificate"
    failure = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")
    failure.__cause__ = cause
    with pytest.raises(
        ServiceUnreachableError, match=r"not trusted \(self-signed certificate\); .* SSL_CERT_FILE"
    ):
        answering([failure]).ready()


def test_a_service_without_batches_is_told_apart(answering: Answering) -> None:
    for status in (404, 405):
        assert answering([httpx.Response(status)]).enroll_many([b"x"], [{"image_id": "a"}]) is None


@pytest.mark.parametrize("items", [None, [], [{}, {}], [{"status": "201"}], [7]])
def test_batches_of_another_form_are_not_believed(answering: Answering, items: object) -> None:
    client = answering([httpx.Response(200, json={"items": items})])
    with pytest.raises(RefusedError, match="not as this service does"):
        client.enroll_many([b"x"], [{"image_id": "a"}])
