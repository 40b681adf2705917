"""How many connections there may be, and which one makes room."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from service.transport.bounds import Bounds, most_connections
from service.transport.connections import Connections, Wait
from tests.service.fakes import image_file
from tests.service.transport.wire import GET, Wire, bounded


class Waiting:
    """A connection that waits as the test says."""

    def __init__(self, *, wait: Wait | None = Wait.HEAD, since: float = 0.0, unread: int = 0) -> None:
        self.state = None if wait is None else (wait, since)
        self.bytes = unread
        self.ended = False

    def wait(self) -> tuple[Wait, float] | None:
        return self.state

    def unread(self) -> int:
        return self.bytes

    def make_room(self) -> None:
        self.ended = True

    def check(self, now: float) -> None:
        """Nothing is looked after here."""


Test = Callable[[Connections], Awaitable[None]]


def keep(connections: int, per_peer: int, test: Test) -> None:
    async def run() -> None:
        bounds = Bounds(connections=connections, per_peer=per_peer)
        await test(Connections(bounds, lambda address: address == "10.0.0.9"))

    asyncio.run(run())


async def pass_turns() -> None:
    """Let the loop turn, so that what was accepted has been read from."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_those_that_have_waited_longest_make_room_and_one_that_is_answered_does_not() -> None:
    async def test(keeper: Connections) -> None:
        busy = Waiting(wait=None)
        body, idle = Waiting(wait=Wait.BODY, since=4), Waiting(wait=Wait.IDLE, since=1)
        late, early = Waiting(since=3), Waiting(since=2)
        everyone = (busy, body, idle, late, early)
        for connection in everyone:
            assert keeper.admit(connection, "10.0.0.1")
        await pass_turns()
        order: list[Waiting] = []
        for _ in range(4):
            assert keeper.admit(Waiting(wait=None), "10.0.0.1")
            order += [it for it in everyone if it.ended and it not in order]
        assert order == [idle, early, late, body]
        assert not keeper.admit(Waiting(), "10.0.0.1"), "all are being answered"
        assert len(keeper) == 5
        keeper.leave(busy)
        keeper.leave(busy)
        assert keeper.admit(Waiting(), "10.0.0.1")

    keep(5, 5, test)


def test_one_that_has_not_been_read_from_yet_makes_no_room() -> None:
    async def test(keeper: Connections) -> None:
        old = Waiting(since=0)
        assert keeper.admit(old, "10.0.0.1")
        await pass_turns()
        young = Waiting(since=1)
        assert keeper.admit(young, "10.0.0.1")
        assert keeper.admit(Waiting(), "10.0.0.1")
        assert not keeper.admit(Waiting(), "10.0.0.1")
        assert (old.ended, young.ended) == (True, False)
        await pass_turns()
        assert keeper.admit(Waiting(), "10.0.0.1")

    keep(2, 2, test)


def test_of_very_many_some_make_room_at_once() -> None:
    async def test(keeper: Connections) -> None:
        many = [Waiting(since=number) for number in range(320)]
        for connection in many:
            assert keeper.admit(connection, "10.0.0.1")
        await pass_turns()
        for _ in range(10):
            assert keeper.admit(Waiting(), "10.0.0.1")
        assert [it.ended for it in many] == [True] * 10 + [False] * 310

    keep(320, 320, test)


def test_room_is_made_by_the_peer_that_has_most() -> None:
    async def test(keeper: Connections) -> None:
        honest = Waiting(since=0)
        greedy = [Waiting(since=1 + number) for number in range(5)]
        keeper.admit(honest, "10.0.0.1")
        for connection in greedy:
            keeper.admit(connection, "10.0.0.2")
        await pass_turns()
        assert keeper.admit(Waiting(), "10.0.0.3")
        assert [it.ended for it in (honest, *greedy)] == [False, True, False, False, False, False]

    keep(6, 6, test)


def test_a_peer_has_a_bound_of_its_own_and_a_trusted_proxy_has_none() -> None:
    async def test(keeper: Connections) -> None:
        # What an IPv6 customer has all of is one peer.
        for peers in (["10.0.0.1"] * 4, [f"2001:db8::{number}" for number in range(1, 5)]):
            own = [Waiting(since=number) for number in range(4)]
            for connection, peer in zip(own, peers, strict=True):
                assert keeper.admit(connection, peer)
                await pass_turns()
            assert [it.ended for it in own] == [True, True, False, False]
        for _ in range(4):
            assert keeper.admit(Waiting(), "10.0.0.9")
        assert len(keeper) == 8

    keep(100, 2, test)


def test_where_the_peer_with_most_is_all_busy_another_makes_room() -> None:
    async def test(keeper: Connections) -> None:
        busy, idle = [Waiting(wait=None) for _ in range(3)], Waiting(wait=Wait.IDLE)
        for connection in busy:
            keeper.admit(connection, "10.0.0.1")
        keeper.admit(idle, "10.0.0.2")
        await pass_turns()
        assert keeper.admit(Waiting(), "10.0.0.3")
        assert idle.ended

    keep(4, 4, test)


def test_answers_that_are_not_read_make_room_until_they_fit() -> None:
    mebibyte = 1024 * 1024

    async def test(keeper: Connections) -> None:
        readers = [Waiting(wait=Wait.READER, since=number, unread=50 * mebibyte) for number in range(4)]
        for number, connection in enumerate(readers):
            keeper.admit(connection, f"10.0.0.{number}")
        await pass_turns()
        keeper.check_unread()
        assert [it.ended for it in readers] == [True, True, False, False]

    keep(10, 10, test)


@pytest.mark.slow
def test_time_in_which_the_loop_is_held_up_is_nobodys() -> None:
    async def test(keeper: Connections) -> None:
        ages = []

        class Aging(Waiting):
            def check(self, now: float) -> None:
                ages.append(now - begun)

        begun = keeper.now()
        keeper.admit(Aging(), "10.0.0.1")
        time.sleep(3)
        while not ages:
            await asyncio.sleep(0.01)
        assert ages[0] < 1

    keep(2, 2, test)


SMALL = Bounds(connections=24, per_peer=16)


def test_silent_connections_shut_nobody_out(tmp_path: Path) -> None:
    with bounded(tmp_path, SMALL) as url, ExitStack() as silent:
        wires = [silent.enter_context(Wire(url)) for _ in range(100)]
        assert httpx.get(url + "/health/live").status_code == 200
        assert httpx.post(url + "/query", files={"image": ("x", image_file())}).status_code == 200
        assert all(wire.is_over() for wire in wires[:80])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: ",
        b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 1000\r\n\r\n--b",
    ],
    ids=["heads", "bodies"],
)
def test_neither_do_slow_ones_which_are_reported_so(tmp_path: Path, sent: bytes) -> None:
    with bounded(tmp_path, SMALL) as url, ExitStack() as slow:
        wires = [slow.enter_context(Wire(url, sent)) for _ in range(100)]
        assert httpx.post(url + "/query", files={"image": ("x", image_file())}).status_code == 200
        answer = wires[0].answer()
        assert (answer.status, answer.kind) == (503, "overloaded")
        assert "made room" in answer.problem["detail"]


def test_connections_that_are_used_survive_those_that_are_not(tmp_path: Path) -> None:
    with bounded(tmp_path, SMALL) as url, ExitStack() as silent, Wire(url, GET, source="127.0.0.2") as used:
        assert used.answer().status == 200
        for _ in range(100):
            silent.enter_context(Wire(url))
        used.send(GET)
        assert used.answer().status == 200


def test_the_process_is_given_the_descriptors_it_may_have() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert most_connections(64) == 64
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
        assert most_connections(10**9) == resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
