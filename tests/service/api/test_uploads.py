"""Uploads under way: places shared between callers, bytes, and who makes room."""

from __future__ import annotations

import pytest

from service.api.uploads import Upload, Uploads
from service.inference.request import Overloaded


class Clock:
    """Time that a test moves on, in s."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def whole(uploads: Uploads, caller: str = "a") -> Upload:
    upload = uploads.begin(caller)
    uploads.complete(upload)
    return upload


def test_a_place_is_taken_by_the_last_byte_and_given_back_once() -> None:
    uploads = Uploads(places=2, max_bytes=10)
    first, second = uploads.begin("a"), uploads.begin("a")
    assert uploads.taken == 0
    uploads.complete(first)
    uploads.complete(second)
    assert uploads.taken == 2
    with pytest.raises(Overloaded, match="all 2 places"):
        uploads.begin("b")
    for _ in range(2):
        uploads.end(first)
    assert uploads.taken == 1
    assert whole(uploads).is_whole


def test_one_caller_alone_gets_nearly_all_and_others_still_get_in() -> None:
    uploads = Uploads(places=64, max_bytes=10)
    for _ in range(60):
        whole(uploads, "greedy")
    with pytest.raises(Overloaded, match="this caller has 60 of the 64 places for images; 4 are for others"):
        whole(uploads, "greedy")
    for number in range(4):
        whole(uploads, f"honest {number}")
    with pytest.raises(Overloaded, match="all 64 places"):
        whole(uploads, "late")


def test_bytes_are_those_that_have_arrived() -> None:
    uploads = Uploads(places=2, max_bytes=10)
    first, second = uploads.begin("a"), uploads.begin("b")
    uploads.grow(first, 4)
    uploads.grow(second, 6)
    with pytest.raises(Overloaded, match="10 bytes that are kept for uploads"):
        uploads.grow(first, 1)
    uploads.end(second)
    uploads.grow(first, 6)


def test_whoever_holds_most_for_longest_makes_room() -> None:
    clock = Clock()
    uploads = Uploads(places=9, max_bytes=10, clock=clock)
    dropped: list[Upload] = []

    def begin(caller: str, size: int) -> Upload:
        upload = uploads.begin(caller)
        upload.on_drop = lambda: dropped.append(upload)
        uploads.grow(upload, size)
        clock.now += 0.1
        return upload

    honest = begin("honest", 2)
    greedy = [begin("greedy", 2) for _ in range(4)]
    with pytest.raises(Overloaded):
        uploads.grow(uploads.begin("new"), 1)
    clock.now += 1
    begin("new", 3)
    assert dropped == greedy[:2]
    assert [it.is_dropped for it in (honest, *greedy)] == [False, True, True, False, False]


def test_the_slowest_gets_no_more_at_the_cost_of_others() -> None:
    clock = Clock()
    uploads = Uploads(places=9, max_bytes=10, clock=clock)
    slow, other = uploads.begin("a"), uploads.begin("b")
    uploads.grow(slow, 6)
    uploads.grow(other, 4)
    clock.now += 2
    with pytest.raises(Overloaded):
        uploads.grow(slow, 1)
    assert not other.is_dropped


def test_one_that_is_whole_makes_no_room() -> None:
    clock = Clock()
    uploads = Uploads(places=9, max_bytes=10, clock=clock)
    waiting = uploads.begin("a")
    uploads.grow(waiting, 10)
    uploads.complete(waiting)
    clock.now += 60
    with pytest.raises(Overloaded):
        uploads.grow(uploads.begin("b"), 1)
    assert not waiting.is_dropped
