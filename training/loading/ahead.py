"""What the next step needs, made by a thread while this step is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def made_ahead(items: Iterable[T], make: Callable[[T], R]) -> Iterator[R]:
    """What is made of each item, the next one being made while one is used.

    Args:
        items: taken one by one in the caller's thread.
        make: is called in another thread, for one item at a time; what it raises is raised here.
    """
    with ThreadPoolExecutor(1) as thread:
        ahead: Future[R] | None = None
        for item in chain(((each,) for each in items), [()]):
            ready, ahead = ahead, thread.submit(make, *item) if item else None
            if ready is not None:
                yield ready.result()
