"""Both clients, of which each case is run with both."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import pkgutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import lka_reid_client
from lka_reid_client import (
    AbandonedError,
    AsyncClient,
    Client,
    Enrolled,
    Kind,
    NewImage,
    RefusedError,
    ServiceUnreachableError,
    enrolling,
)
from lka_reid_client.retry import LONGEST_WAIT_S
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file

Reply = httpx.Response | Exception


def by_client(url: str, transport: httpx.MockTransport | None, use: Callable[[Any], Any], **more: Any) -> Any:
    with Client(url, transport=transport, **more) as client:
        found = use(client)
        return list(found) if isinstance(found, Iterator) else found


def by_async_client(
    url: str, transport: httpx.MockTransport | None, use: Callable[[Any], Any], **more: Any
) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, transport=transport, **more) as client:
            found = use(client)
            if isinstance(found, Awaitable):
                return await found
            assert isinstance(found, AsyncIterator)
            return [one async for one in found]

    return asyncio.run(run())


@pytest.fixture(params=[by_client, by_async_client], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Uses a client of a URL, or of a transport, and returns what came of it."""
    found: Callable[..., Any] = request.param
    return found


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clients wait for, without the waiting."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    class Event(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            found.append(timeout or 0.0)
            return self.is_set()

    monkeypatch.setattr("lka_reid_client.asynchronous.asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr("lka_reid_client.synchronous.threading", SimpleNamespace(Event=Event))
    return found


def replying(replies: Sequence[Reply], seen: list[httpx.Request] | None = None) -> httpx.MockTransport:
    """A service that gives these replies one after the other, and then the last for ever."""
    left = list(replies)

    def reply(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        it = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(it, Exception):
            raise it
        return httpx.Response(it.status_code, headers=it.headers, content=it.content)

    return httpx.MockTransport(reply)


def problem(kind: str, status: int, detail: str = "no", **headers: str) -> httpx.Response:
    document = {"type": f"urn:lka-reid:problem:{kind}", "detail": detail, "request_id": "r1"}
    return httpx.Response(status, json=document, headers={k.replace("_", "-"): v for k, v in headers.items()})


LIVE = httpx.Response(200, json={"status": "live"})
RECORD = dict.fromkeys(("vehicle_id", "camera_id", "captured_at", "view", "vehicle_type")) | {
    "image_id": "a",
    "tags": [],
    "fingerprint": "f",
    "enrolled_at": "2026-03-04T05:06:07Z",
    "media_type": "image/png",
}


@pytest.mark.slow
def test_it_enrolls_searches_and_deletes(service: Running, ask: Callable[..., Any]) -> None:
    with pytest.raises(RefusedError) as missing:
        ask(service.url, None, lambda client: client.record("gate 3/a"))
    assert missing.value.kind == Kind.UNKNOWN_IMAGE
    about = {"image_id": "gate 3/a", "camera_id": "gate-3", "tags": ["x", "y"]}
    made = ask(service.url, None, lambda client: client.enroll(image_file(RED), **about))
    assert (made.image_id, made.tags) == ("gate 3/a", ["x", "y"])
    found = ask(service.url, None, lambda client: client.query(image_file(RED), only_camera_id="gate-3"))
    assert (found.matches[0].image_id, found.matches[0].rank, found.searched) == ("gate 3/a", 1, 1)
    with pytest.raises(RefusedError) as again:
        ask(service.url, None, lambda client: client.enroll(image_file(GREEN), **about))
    assert (again.value.status, again.value.kind) == (409, Kind.DUPLICATE_IMAGE)
    assert again.value.differs == ("image",)
    assert ask(service.url, None, lambda client: client.image("gate 3/a")) == (image_file(RED), "image/png")
    assert ask(service.url, None, lambda client: client.delete("gate 3/a")) is None
    assert ask(service.url, None, lambda client: client.records()) == []


def test_pages_are_read_to_the_end(
    service: Running, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lka_reid_client.calls.listing.LARGEST_PAGE", 2)
    new = [NewImage(image_file((number, 0, 0)), {"image_id": str(number)}) for number in range(5)]
    enrolled = ask(service.url, None, lambda client: client.enroll_all(iter(new), batch=2))
    assert [one.record.image_id for one in enrolled] == ["0", "1", "2", "3", "4"]
    listed = ask(service.url, None, lambda client: client.records())
    assert [record.image_id for record in listed] == ["0", "1", "2", "3", "4"]
    assert len(ask(service.url, None, lambda client: client.records(limit=3))) == 3
    assert ask(service.url, None, lambda client: client.records(limit=0)) == []


def test_what_becomes_of_each_image_is_told(
    service: Running, ask: Callable[..., Any], tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(image_file(BLUE))
    bad.write_bytes(b"no image")
    new = [
        NewImage(good, {"image_id": "good"}),
        NewImage(tmp_path / "none.png", {"image_id": "none"}),
        NewImage(bad, {"image_id": "bad"}),
    ]
    enrolled: list[Enrolled] = ask(service.url, None, lambda client: client.enroll_all(new))
    fates = {one.image.about["image_id"]: one for one in enrolled}
    assert fates["good"].record is not None
    assert "No such file" in fates["none"].unreadable
    assert fates["bad"].problem is not None
    assert fates["bad"].problem.status == 422
    assert [one.is_there for one in (fates["good"], fates["none"], fates["bad"])] == [True, False, False]
    again = ask(service.url, None, lambda client: client.enroll_all(new[:1]))
    assert [one.is_there for one in again] == [True]
    only_unreadable = ask(service.url, None, lambda client: client.enroll_all(new[1:2]))
    assert [bool(one.unreadable) for one in only_unreadable] == [True]


def test_an_iterable_is_read_as_far_as_a_batch_needs() -> None:
    read: list[int] = []

    def images() -> Iterator[NewImage]:
        for number in range(6):
            read.append(number)
            yield NewImage(b"x", {"image_id": str(number)})

    item = {"status": 201, "record": RECORD}
    service = replying([httpx.Response(200, json={"enrolled": 2, "items": [item, item]})])
    with Client("http://x", transport=service) as client:
        enrolled = client.enroll_all(images(), batch=2)
        next(enrolled)
        assert read == [0, 1]
        assert len(list(enrolled)) == 5


def test_a_batch_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolling, "BATCH_BYTES", 10)
    sizes: list[int] = []

    def reply(request: httpx.Request) -> httpx.Response:
        count = request.read().count(b'name="images"')
        sizes.append(count)
        return httpx.Response(
            200, json={"enrolled": count, "items": [{"status": 201, "record": RECORD}] * count}
        )

    with Client("http://x", transport=httpx.MockTransport(reply)) as client:
        new = [NewImage(b"x" * size, {"image_id": "a"}) for size in (4, 4, 4, 50, 1)]
        assert len(list(client.enroll_all(new))) == 5
    assert sizes == [2, 1, 1, 1]


def test_an_image_that_is_put_off_is_sent_again_later(ask: Callable[..., Any], pauses: list[float]) -> None:
    later = {"status": 503, "problem": {"type": "t", "title": "t", "status": 503, "detail": "full"}}
    later["problem"] |= {"instance": "/gallery", "request_id": "r"}  # type: ignore[operator]
    done = {"status": 201, "record": RECORD}
    replies = [
        httpx.Response(200, json={"enrolled": 1, "items": [done, later]}),
        httpx.Response(200, json={"enrolled": 1, "items": [done]}),
    ]
    new = [NewImage(b"x", {"image_id": "a"}), NewImage(b"y", {"image_id": "b"})]
    enrolled = ask("http://x", replying(replies), lambda client: client.enroll_all(new))
    assert [one.record is not None for one in enrolled] == [True, True]
    assert pauses == [1.0]
    forever = [httpx.Response(200, json={"enrolled": 0, "items": [later]})]
    [lost] = ask("http://x", replying(forever), lambda client: client.enroll_all(new[:1]))
    assert lost.problem.detail == "full"
    assert len(pauses) == 1 + enrolling.ATTEMPTS - 1


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_it_waits_as_the_service_asks(ask: Callable[..., Any], pauses: list[float], status: int) -> None:
    date = {"Date": "Fri, 31 Dec 1999 23:59:50 GMT", "Retry_After": "Fri, 31 Dec 1999 23:59:57 GMT"}
    busy = [problem("x", status, Retry_After="3"), problem("x", status, **date)]
    capped = problem("x", status, Retry_After="99")
    done = httpx.Response(201, json=RECORD)
    ask("http://x", replying([*busy, capped, done]), lambda client: client.enroll(b"x", image_id="a"))
    assert pauses == [3, 7, LONGEST_WAIT_S]


def test_only_what_comes_to_the_same_is_sent_again_without_an_answer(ask: Callable[..., Any]) -> None:
    done = httpx.Response(201, json=RECORD)
    lost = httpx.ReadError("reset")
    again = ask("http://x", replying([lost, done]), lambda client: client.enroll(b"x", image_id="a"))
    assert again.image_id == "a"
    with pytest.raises(ServiceUnreachableError, match="reset"):
        ask("http://x", replying([lost, done]), lambda client: client.enroll(b"x"))
    count = {"camera_id": "c", "counted": True, "calibrated": 1, "enrolled": 0}
    counted = httpx.Response(201, json=count)
    shown = ask("http://x", replying([lost, counted]), lambda client: client.calibrate("c", b"x"))
    assert shown.calibrated == 1
    with pytest.raises(ServiceUnreachableError, match="reset"):
        ask("http://x", replying([lost, counted]), lambda client: client.calibrate("c", b"x", anew=True))


def test_a_refusal_tells_all_that_the_service_says(ask: Callable[..., Any]) -> None:
    refused = problem("rate-limited", 429, "too fast", Retry_After="7")
    with pytest.raises(RefusedError, match="too fast") as caught:
        ask("http://x", replying([refused]), lambda client: client.live())
    assert caught.value.kind == Kind.RATE_LIMITED
    assert (caught.value.request_id, caught.value.retry_after_s) == ("r1", 7.0)


def test_a_service_of_another_kind_is_told_apart(ask: Callable[..., Any]) -> None:
    with pytest.raises(RefusedError, match="not as this service does"):
        ask("http://x", replying([httpx.Response(200, text="<html>")]), lambda client: client.live())
    with pytest.raises(ServiceUnreachableError, match="no service answers"):
        ask("http://127.0.0.1:9", None, lambda client: client.live())


def test_what_a_newer_service_adds_is_kept(ask: Callable[..., Any]) -> None:
    newer = httpx.Response(200, json={"status": "live", "uptime": 3})
    assert ask("http://x", replying([newer]), lambda client: client.live()).document() == newer.json()


def test_key_and_collection_go_where_they_belong(ask: Callable[..., Any]) -> None:
    seen: list[httpx.Request] = []
    service = replying([LIVE], seen)
    ask("http://x/reid", service, lambda client: client.live(), key="lka_1", collection="north")
    record = replying([httpx.Response(200, json=RECORD)], seen)
    ask("http://x/reid", record, lambda client: client.record("a"), key="lka_1", collection="north")
    assert [str(one.url) for one in seen] == [
        "http://x/reid/health/live",
        "http://x/reid/gallery/a?collection=north",
    ]
    assert {one.headers["Authorization"] for one in seen} == {"Bearer lka_1"}


def test_waits_end_when_the_client_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with Client("http://x", transport=replying([problem("x", 503)])) as client:
        client.abandon()
        with pytest.raises(AbandonedError):
            client.enroll(b"x", image_id="a")


def modules() -> list[str]:
    found = pkgutil.walk_packages(lka_reid_client.__path__, "lka_reid_client.")
    return ["lka_reid_client", *(module.name for module in found)]


def test_the_examples_in_docstrings_are_right() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in modules()]
    assert sum(result.attempted for result in results) >= 8
    assert sum(result.failed for result in results) == 0
