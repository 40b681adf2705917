"""Watches by both clients: made, raised, listened for over streams that end, and refused by kind."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from lka_reid_client import Kind, RefusedError, ServiceUnreachableError
from lka_reid_client.events import LONGEST, Listening
from service.watching.event import EXAMPLE, AlertEvent
from tests.client.test_clients import by_async_client, by_client
from tests.service.fakes import RED, Running, image_file
from tests.service.watching.receiver import wait_for


@pytest.fixture(params=[by_client, by_async_client], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    found: Callable[..., Any] = request.param
    return found


def event(number: int) -> bytes:
    data = AlertEvent.model_validate(EXAMPLE | {"id": number}).model_dump_json()
    return f"id: {number}\nevent: alert\ndata: {data}\n\n".encode()


@pytest.mark.slow
def test_a_watch_is_made_listed_and_removed_and_its_alerts_are_listed(
    service: Running,
    ask: Callable[..., Any],
) -> None:
    made = ask(service.url, None, lambda client: client.watch(image_file(RED), name="red", threshold=0.9))
    assert (made.name, made.alerts) == ("red", 0)
    for name in ("a", "b"):
        service.enroll(image_file(RED), image_id=name)
    wait_for(lambda: len(ask(service.url, None, lambda client: client.alerts())) == 2)
    [newest] = ask(service.url, None, lambda client: client.alerts(limit=1, watch_id=made.id))
    assert (newest.image_id, newest.delivery) == ("b", None)
    [listed] = ask(service.url, None, lambda client: client.watches()).watches
    assert (listed.id, listed.alerts) == (made.id, 2)
    assert ask(service.url, None, lambda client: client.watch_image(made.id))[0] == image_file(RED)
    assert ask(service.url, None, lambda client: client.dead_letters()) == []
    ask(service.url, None, lambda client: client.remove_watch(made.id))
    for refused, kind in (
        (lambda client: client.watch_of(made.id), Kind.UNKNOWN_WATCH),
        (lambda client: client.drop_dead_letter(1), Kind.UNKNOWN_DEAD_LETTER),
        (lambda client: client.retry_dead_letter(1), Kind.UNKNOWN_DEAD_LETTER),
        (lambda client: client.test_watch(made.id), Kind.UNKNOWN_WATCH),
    ):
        with pytest.raises(RefusedError) as error:
            ask(service.url, None, refused)
        assert error.value.kind == kind


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lka_reid_client.events.AGAIN_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_who_listens_goes_on_after_the_last_alert_when_a_stream_ends_or_breaks(
    ask: Callable[..., Any],
) -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        assert request.url.path == "/alerts/events"
        if len(asked) == 1:
            return httpx.Response(200, content=b": alerts follow\nretry: 3000\n\n" + event(7) + event(8)[:-1])
        if len(asked) == 2:
            return httpx.Response(200, content=event(8) + b":\n\n" + event(9))
        return httpx.Response(403, json={"type": "urn:lka-reid:problem:scope-missing", "detail": "no"})

    heard: list[int] = []
    transport = httpx.MockTransport(answer)
    with pytest.raises(RefusedError) as refused:
        ask("http://service", transport, lambda client: _noting(client.alert_events(6), heard))
    assert heard == [7, 8, 9]
    assert refused.value.kind == Kind.SCOPE_MISSING
    assert asked == ["6", "7", "9"]


def _noting(events: Any, heard: list[int]) -> Any:
    """The events, each noted before it is given on."""

    def note(one: Any) -> Any:
        heard.append(one.id)
        return one

    async def noted() -> AsyncIterator[Any]:
        async for one in events:
            yield note(one)

    return noted() if isinstance(events, AsyncIterator) else map(note, events)


def test_events_are_whole_however_they_arrive() -> None:
    stream = b": alerts follow\n\n" + b"".join(map(event, (1, 2, 3)))
    for size in (1, 7, 10_000):
        listening = Listening(None)
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        events = itertools.chain.from_iterable(map(listening.take, pieces))
        assert [event.id for event in events] == [1, 2, 3]
        assert listening.call().headers == {"Last-Event-ID": "3"}
    assert Listening(None).call().headers == {}


@pytest.mark.parametrize("content", [b"data: {}\n\n", b"x" * (LONGEST + 1)])
def test_what_is_no_stream_of_the_service_is_said(
    ask: Callable[..., Any],
    content: bytes,
) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, content=content))
    with pytest.raises(ServiceUnreachableError, match="its stream"):
        ask("http://service", transport, lambda client: client.alert_events())
