"""Coalescing: the calls of many threads, answered by fewer calls of one function.

The method is flat combining (Hendler, Incze, Shavit and Tzafrir, SPAA 2010). It has no thread of its own to
start, watch or close, and a call that comes alone pays no hand-over.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class CoalescingError(Exception):
    """The call that ran for several was ended, or answered another number of them."""


class _Call(Generic[Item, Answer]):
    """One thread's item, and what it waits for: the answer or error, or the calls that it is to run for."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcome: Answer | Exception | None = None
        self.batch: list[_Call[Item, Answer]] = []
        self.woken = threading.Event()

    def answer(self, outcome: Answer | Exception) -> None:
        self.outcome = outcome
        self.woken.set()

    def lead(self, batch: list[_Call[Item, Answer]]) -> None:
        self.batch = batch
        self.woken.set()


class Coalescer(Generic[Item, Answer]):
    """Runs a function for one item at once where nothing is under way, else for what has collected meanwhile.

    Whoever finds it free runs the function in its own thread, for its item alone: nobody waits for company.
    Those who come meanwhile wait; when a run is done, the first of them runs it for all of them. When a run
    for several fails, each is tried alone: a bad item harms only itself.

    With `alike`, only items of equal keys share a run; the one that has waited longest is always in the next.

    Args:
        name: of the work, for the log.
        run: as many answers as items, in their order; an exception among them is raised to its caller alone.
        largest: items that one run is given at most.
        alike: the key of an item.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
        largest: int,
        alike: Callable[[Item], Hashable] = lambda _item: None,
    ) -> None:
        self._name = name
        self._run = run
        self._largest = largest
        self._alike = alike
        self._lock = threading.Lock()
        self._waiting: deque[_Call[Item, Answer]] = deque()
        self._busy = False

    @property
    def waiting(self) -> int:
        """Calls that no run has taken yet."""
        return len(self._waiting)

    def __call__(self, item: Item) -> Answer:
        """The answer to one item.

        Raises:
            CoalescingError: see there.
            Exception: what `run` raised or answered for it.
        """
        call: _Call[Item, Answer] = _Call(item)
        with self._lock:
            if self._busy:
                self._waiting.append(call)
            else:
                self._busy = True
                call.lead([call])
        call.woken.wait()
        # Taken out of the call, which is in it: a cycle would keep every item until it is collected.
        batch, call.batch = call.batch, []
        if batch:
            self._lead(batch)
        outcome = call.outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[return-value] # answered, and no error: an answer

    def _lead(self, batch: list[_Call[Item, Answer]]) -> None:
        """Run for a batch, and hand on to the first of those who have come meanwhile."""
        # Stands only where the run ends its thread, by SystemExit for instance.
        outcomes: Sequence[Answer | Exception] = [CoalescingError("the call was ended")] * len(batch)
        try:
            outcomes = self._outcomes([call.item for call in batch])
        finally:
            self._hand_on()
            for call, outcome in zip(batch, outcomes, strict=True):
                call.answer(outcome)

    def _hand_on(self) -> None:
        with self._lock:
            following = self._next()
            self._busy = bool(following)
        if following:
            following[0].lead(following)

    def _next(self) -> list[_Call[Item, Answer]]:
        """Take the call that has waited longest, and those of its key behind it, out of those that wait."""
        taken: list[_Call[Item, Answer]] = []
        left: deque[_Call[Item, Answer]] = deque()
        for call in self._waiting:
            fits = not taken or self._alike(call.item) == self._alike(taken[0].item)
            (taken if fits and len(taken) < self._largest else left).append(call)
        self._waiting = left
        return taken

    def _outcomes(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        try:
            outcomes = self._run(items)
        except Exception as error:
            if len(items) == 1:
                return [error]
            log.warning("batch_failed", work=self._name, items=len(items), error=str(error))
            return [self._outcomes([item])[0] for item in items]
        if len(outcomes) != len(items):
            wrong = CoalescingError(f"{len(outcomes)} answers for {len(items)} items")
            return [wrong] * len(items)
        return outcomes
