"""When a client counts as one that does not read."""

from __future__ import annotations

from service.transport.reading import READ_STEP, Reading

STALL_S = 10.0


def looks(*unread: int) -> list[bool]:
    """Of one look a second more than half the bound, from the first."""
    reading = Reading()
    return [reading.is_stalled(size, 6.0 * number, STALL_S) for number, size in enumerate(unread, start=1)]


def test_an_answer_that_nobody_takes_is_stalled_after_the_bound() -> None:
    assert looks(READ_STEP, READ_STEP, READ_STEP) == [False, False, True]


def test_each_step_that_is_taken_begins_the_wait_again() -> None:
    assert looks(*(number * READ_STEP for number in range(5, 0, -1))) == [False] * 5


def test_a_few_bytes_now_and_then_are_no_reading() -> None:
    assert looks(*(READ_STEP - number for number in range(3))) == [False, False, True]


def test_without_an_answer_nothing_is_stalled() -> None:
    assert looks(READ_STEP, 0, 0, 0) == [False] * 4
    assert looks(0, 0, READ_STEP, READ_STEP) == [False] * 4
