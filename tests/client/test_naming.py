"""Names in paths and fields: a service gets each as it is, or nothing is sent and an error says why."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from lka_reid_client import AsyncClient, Client, InvalidCallError, Kind, NewImage, RefusedError
from lka_reid_client.naming import image_path, path_of, segment
from tests.service.fakes import RED, Running, image_file

SURROGATE = "gate\udcff"
PATHS: dict[str, Callable[[Any, str], Any]] = {
    "record": lambda client, name: client.record(name),
    "image": lambda client, name: client.image(name),
    "frame": lambda client, name: client.image(name, frame=True),
    "update": lambda client, name: client.update(name, view="rear"),
    "delete": lambda client, name: client.delete(name),
    "camera": lambda client, name: client.camera(name),
    "calibrate": lambda client, name: client.calibrate(name, b"x"),
    "forget_calibration": lambda client, name: client.forget_calibration(name),
    "verdicts_of": lambda client, name: client.verdicts_of(name),
    "probe_image": lambda client, name: client.probe_image(name),
    "undo_verdict, probe": lambda client, name: client.undo_verdict(name, "a"),
    "undo_verdict, image": lambda client, name: client.undo_verdict("a" * 64, name),
    "collection_named": lambda client, name: client.collection_named(name),
    "set_quota": lambda client, name: client.set_quota(name, max_images=1),
    "drop_collection": lambda client, name: client.drop_collection(name),
}


@pytest.fixture
def sent() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers every request by 404, its URL, and the first line of each request."""
    lines: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                lines.append(file.readline().strip())
                connection.sendall(
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/reid", lines
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def of_name(use: Callable[[Any, str], Any], name: str) -> Callable[[Any], Any]:
    """A method with its name."""
    return lambda client: use(client, name)


async def refused_by(client: Any, use: Callable[[Any], Any]) -> str:
    """The error of a method of either client that sends nothing."""
    try:
        found = use(client)
        if inspect.isawaitable(found):
            await found
    except InvalidCallError as error:
        return str(error)
    return "it was sent"


def refusals(url: str, uses: Sequence[Callable[[Any], Any]], is_async: bool) -> list[str]:
    """The errors of several."""

    async def run() -> list[str]:
        if is_async:
            async with AsyncClient(url) as client:
                return [await refused_by(client, use) for use in uses]
        with Client(url) as client:
            return [await refused_by(client, use) for use in uses]

    return asyncio.run(run())


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("method", PATHS)
def test_no_name_makes_another_path(method: str, is_async: bool, sent: tuple[str, list[bytes]]) -> None:
    url, lines = sent
    names = ["..", ".", "", "../collections/north", "a/../b", "a/..", "./a", SURROGATE]
    if method.startswith(("verdicts_of", "probe", "undo_verdict, p", "collection", "set_", "drop_")):
        names += ["a/b", "north/quota", "/"]
    elif method not in ("camera", "calibrate", "forget_calibration"):
        names += ["a//b", "/a", "a/", "a/image"]
    use = PATHS[method]
    messages = refusals(url, [of_name(use, name) for name in names], is_async)
    assert all("nothing was sent" in one for one in messages)
    assert lines == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a b", b"a%20b"),
        ("...", b"..."),
        ("%2e%2e", b"%252e%252e"),
        ("a?b#c", b"a%3Fb%23c"),
        ("a\r\nX: y\0\x7f", b"a%0D%0AX%3A%20y%00%7F"),
        ("a\\..\\b", b"a%5C..%5Cb"),
        ("\u202e\u00fc", b"%E2%80%AE%C3%BC"),
        ("http://x/y", None),
        ("gate 3/1.jpg", b"gate%203/1.jpg"),
    ],
)
def test_a_name_goes_over_the_wire_as_one(
    name: str, path: bytes | None, sent: tuple[str, list[bytes]]
) -> None:
    url, lines = sent
    with Client(url) as client:
        if path is None:
            with pytest.raises(InvalidCallError):
                client.record(name)
            return
        with pytest.raises(RefusedError):
            client.delete(name)
        with pytest.raises(RefusedError):
            client.forget_calibration(name)
    assert lines == [
        b"DELETE /reid/gallery/%s HTTP/1.1" % path,
        b"DELETE /reid/cameras/%s/calibration HTTP/1.1" % path,
    ]


def test_the_service_gets_names_as_they_are(service: Running) -> None:
    with Client(service.url) as client:
        client.create_collection("north")
        for image_id in ("%2e%2e", "a?b#c", "a\\..\\b", "gate 3/1.jpg", "...", "a;b=c&d+e"):
            client.enroll(image_file(RED), image_id=image_id, camera_id=image_id)
            assert client.record(image_id).image_id == image_id
            assert client.camera(image_id).camera_id == image_id
            client.delete(image_id)
        for camera_id in ("a//b", "/a", "a/", "x/calibration"):
            client.enroll(image_file(RED), image_id="a", camera_id=camera_id)
            assert client.camera(camera_id).camera_id == camera_id
            client.delete("a")
        for camera_id in ("..", "./x", "a/../b"):
            with pytest.raises(RefusedError, match=f"'{camera_id}', which is not a legal camera id"):
                client.enroll(image_file(RED), image_id="a", camera_id=camera_id)
        with pytest.raises(InvalidCallError):
            client.delete("../collections/north")
        for odd in ("a\0b", "a\nb", "\x1b[2J", "\u202ex", " a"):
            with pytest.raises(RefusedError) as caught:
                client.record(odd)
            assert caught.value.kind == Kind.INVALID_FIELDS
            assert str(caught.value).isprintable()
        assert [one.name for one in client.collections().collections] == ["default", "north"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_field_that_has_no_utf8_is_named_and_not_sent(
    is_async: bool, sent: tuple[str, list[bytes]]
) -> None:
    url, lines = sent
    calls: dict[str, Callable[[Any], Any]] = {
        "image_id": lambda client: client.enroll(b"x", image_id=SURROGATE),
        "tags": lambda client: client.enroll_batch([b"x"], [{"image_id": "a", "tags": ["a", SURROGATE]}]),
        "camera_id": lambda client: client.query(b"x", camera_id=SURROGATE),
        "only_view": lambda client: client.count(only_view=[SURROGATE]),
        "candidate_id": lambda client: client.explain(b"x", candidate_id=SURROGATE),
        "name": lambda client: client.create_collection(SURROGATE),
    }
    for field, message in zip(calls, refusals(url, list(calls.values()), is_async), strict=True):
        assert message.startswith(f"{field} 'gate\\udcff' holds bytes")
    assert lines == []


def test_a_collection_that_has_no_utf8_is_named_and_not_sent(sent: tuple[str, list[bytes]]) -> None:
    url, lines = sent
    with Client(url, collection=SURROGATE) as client, pytest.raises(InvalidCallError, match="collection"):
        client.record("a")
    assert lines == []


def test_an_image_whose_fields_cannot_be_sent_does_not_keep_the_others(service: Running) -> None:
    new = [NewImage(image_file(RED), {"image_id": image_id}) for image_id in (SURROGATE, "good")]
    with Client(service.url) as client:
        enrolled = {one.image.about["image_id"]: one for one in client.enroll_all(new)}
    assert enrolled["good"].is_there
    assert "image_id" in enrolled[SURROGATE].unreadable


def test_what_a_server_says_holds_no_control_characters() -> None:
    evil = "\x1b]0;mine\x07\x1b[2J\r\nError: \u202egnp"
    document = {
        "type": "urn:lka-reid:problem:x",
        "detail": evil,
        "errors": [{"field": evil, "message": evil}],
    }
    replies = [
        httpx.Response(422, json=document),
        httpx.Response(422, json={"detail": evil}),
        httpx.Response(302, headers=[(b"Location", b"http://x/\x9b2J")]),
    ]
    for reply in replies:
        with (
            Client("http://x", transport=httpx.MockTransport(lambda _request, it=reply: it)) as client,
            pytest.raises(RefusedError) as caught,
        ):
            client.record("a")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) > 20


def test_paths_are_of_names_alone() -> None:
    assert path_of("gallery", "cam 3/1.jpg", "image") == "/gallery/cam%203/1.jpg/image"
    assert image_path("gallery", "image") == "/gallery/image"
    assert segment("north") == "north"
