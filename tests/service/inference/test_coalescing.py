"""Coalescing: who runs for whom, that answers find their callers, and what a failure costs whom."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from service.inference.coalescing import Coalescer, CoalescingError

PATIENCE = 20.0


class Doubling:
    """Answers twice each number; can be held, and made to fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.under_way = 0
        self.most_under_way = 0
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.spoil: Callable[[list[int | Exception]], Sequence[int | Exception]] = lambda answers: answers

    def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.batches.append(list(numbers))
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.open.wait(PATIENCE)
        self.under_way -= 1
        return self.spoil([2 * number for number in numbers])

    def hold(self) -> None:
        self.entered.clear()
        self.open.clear()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def behind_a_held_run(
    coalescer: Coalescer[int, int], run: Doubling, numbers: Sequence[int], pool: ThreadPoolExecutor
) -> list[Future[int]]:
    """Calls for 0 and, while that is held, for the numbers, all waiting in their order; then let go."""
    run.hold()
    calls = [pool.submit(coalescer, 0)]
    assert run.entered.wait(PATIENCE)
    for place, number in enumerate(numbers, start=1):
        calls.append(pool.submit(coalescer, number))
        until(lambda place=place: coalescer.waiting == place)  # type: ignore[misc]
    return calls


def test_a_lone_call_runs_in_its_own_thread_and_waits_for_nobody() -> None:
    run = Doubling()
    coalescer = Coalescer("doubling", run, largest=4)
    assert [coalescer(number) for number in range(5)] == [0, 2, 4, 6, 8]
    assert run.batches == [[0], [1], [2], [3], [4]]
    assert run.threads == {threading.get_ident()}


def test_what_arrives_during_a_run_goes_through_the_next_one_together() -> None:
    run = Doubling()
    coalescer = Coalescer("doubling", run, largest=4)
    with ThreadPoolExecutor(8) as pool:
        calls = behind_a_held_run(coalescer, run, [1, 2, 3], pool)
        run.open.set()
        assert [call.result(PATIENCE) for call in calls] == [0, 2, 4, 6]
    assert run.batches == [[0], [1, 2, 3]]
    assert coalescer.waiting == 0


def test_more_than_the_largest_run_in_the_order_of_their_arrival() -> None:
    run = Doubling()
    coalescer = Coalescer("doubling", run, largest=2)
    with ThreadPoolExecutor(8) as pool:
        calls = behind_a_held_run(coalescer, run, [1, 2, 3, 4, 5], pool)
        run.open.set()
        assert [call.result(PATIENCE) for call in calls] == [0, 2, 4, 6, 8, 10]
    assert run.batches == [[0], [1, 2], [3, 4], [5]]


def test_items_of_different_keys_never_share_a_run_and_the_longest_waiting_goes_first() -> None:
    run = Doubling()
    coalescer = Coalescer("doubling", run, largest=3, alike=lambda number: number % 2)
    with ThreadPoolExecutor(9) as pool:
        calls = behind_a_held_run(coalescer, run, [1, 2, 3, 4, 5, 7, 6], pool)
        run.open.set()
        assert [call.result(PATIENCE) for call in calls] == [0, 2, 4, 6, 8, 10, 14, 12]
    assert run.batches == [[0], [1, 3, 5], [2, 4, 6], [7]]


def test_many_callers_each_get_their_own_answer_and_never_two_runs_at_once() -> None:
    run = Doubling()
    coalescer = Coalescer("doubling", run, largest=5)

    def ask(start: int) -> bool:
        return all(coalescer(number) == 2 * number for number in range(start, start + 200))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(0, 16_000, 1000)))
    assert run.most_under_way == 1
    assert sum(map(len, run.batches)) == 16 * 200
    assert max(map(len, run.batches)) <= 5


def test_an_item_is_let_go_with_its_answer() -> None:
    """Without waiting for the collector of cycles: the items of the service are large."""

    class Large:
        pass

    coalescer: Coalescer[Large, int] = Coalescer("counting", lambda items: [1] * len(items), largest=4)
    item = Large()
    gone = weakref.ref(item)
    gc.disable()
    try:
        assert coalescer(item) == 1
        del item
        assert gone() is None
    finally:
        gc.enable()


def answering_an_error(answers: list[int | Exception]) -> list[int | Exception]:
    return [ValueError("four") if answer == 4 else answer for answer in answers]


def failing(answers: list[int | Exception]) -> list[int | Exception]:
    if 4 in answers:
        raise ValueError("four")
    return answers


@pytest.mark.parametrize(
    ("spoil", "batches"),
    [(answering_an_error, [[0], [1, 2, 3]]), (failing, [[0], [1, 2, 3], [1], [2], [3]])],
    ids=["an error among the answers", "a run that fails, each tried alone"],
)
def test_an_item_at_fault_harms_its_caller_alone(
    spoil: Callable[[list[int | Exception]], Sequence[int | Exception]], batches: list[list[int]]
) -> None:
    run = Doubling()
    run.spoil = spoil
    coalescer = Coalescer("doubling", run, largest=4)
    with ThreadPoolExecutor(8) as pool:
        calls = behind_a_held_run(coalescer, run, [1, 2, 3], pool)
        run.open.set()
        with pytest.raises(ValueError, match="four"):
            calls[2].result(PATIENCE)
        assert [call.result(PATIENCE) for call in (calls[0], calls[1], calls[3])] == [0, 2, 6]
    assert run.batches == batches


def ending(answers: list[int | Exception]) -> list[int | Exception]:
    if len(answers) > 1:
        raise SystemExit(1)
    return answers


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (ending, (CoalescingError, SystemExit)),
        (lambda answers: answers[:1], CoalescingError),
    ],
    ids=["ends its thread", "answers too few"],
)
def test_a_run_that_fails_answers_all_its_callers_and_the_next_one_is_unharmed(
    spoil: Callable[[list[int | Exception]], Sequence[int | Exception]],
    error: type[Exception] | tuple[type[BaseException], ...],
) -> None:
    run = Doubling()
    run.spoil = spoil
    coalescer = Coalescer("doubling", run, largest=3)
    with ThreadPoolExecutor(8) as pool:
        calls = behind_a_held_run(coalescer, run, [1, 2, 3, 4], pool)
        run.open.set()
        for call in calls[1:4]:
            with pytest.raises(error):
                call.result(PATIENCE)
        assert calls[0].result(PATIENCE) == 0
        assert calls[4].result(PATIENCE) == 8
    assert coalescer(7) == 14
