"""The vector index's lock: readers together, a writer alone, and no writer waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable

from index.vectors.sharedlock import SharedLock

A_MOMENT = 0.05  # seconds in which a thread that is not held back would have gone on


def _started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(A_MOMENT)
    return thread


def _enter(lock: SharedLock, kind: str, entered: list[str]) -> Callable[[], None]:
    def work() -> None:
        with lock.shared() if kind == "reader" else lock.exclusive():
            entered.append(kind)

    return work


def test_readers_share_the_lock() -> None:
    lock = SharedLock()
    entered: list[str] = []
    with lock.shared():
        _started(_enter(lock, "reader", entered)).join()
    assert entered == ["reader"]


def test_a_writer_keeps_readers_and_writers_out() -> None:
    lock = SharedLock()
    entered: list[str] = []
    with lock.exclusive():
        waiting = [_started(_enter(lock, kind, entered)) for kind in ("reader", "writer")]
        assert entered == []
    for thread in waiting:
        thread.join()
    assert sorted(entered) == ["reader", "writer"]


def test_a_writer_waits_for_readers_and_goes_before_later_ones() -> None:
    lock = SharedLock()
    entered: list[str] = []
    with lock.shared():
        writer = _started(_enter(lock, "writer", entered))
        reader = _started(_enter(lock, "reader", entered))
        assert entered == []
    writer.join()
    reader.join()
    assert entered == ["writer", "reader"]


def test_an_error_under_the_lock_lets_the_next_one_in() -> None:
    lock = SharedLock()
    entered: list[str] = []
    for hold in (lock.shared, lock.exclusive):
        try:
            with hold():
                raise KeyError
        except KeyError:
            pass
        _started(_enter(lock, "writer", entered)).join()
    assert entered == ["writer", "writer"]
