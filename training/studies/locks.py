"""Pieces of work that several processes share: each is made by the process that holds its lock file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from training.signals import StoppedError, StopRequest

Piece = TypeVar("Piece")
# Seconds between two looks at pieces that others are making.
PATIENCE = 1.0


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Whether the lock file at `path` is this process's until the block ends; the process's end frees it too.

    A block that ends well takes the file away, so its work must be found finished by whoever looks next.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
        path.unlink(missing_ok=True)
    finally:
        lock.release()


def share(
    pieces: Sequence[Piece],
    lock: Callable[[Piece], Path],
    make: Callable[[Piece], None],
    report: Callable[[str], None],
    stop: StopRequest,
) -> None:
    """Make all pieces that no other process is making, in order, then wait for those of the others.

    Args:
        pieces: of the work.
        lock: the lock file of a piece.
        make: makes a piece, or finds it finished.
        report: receives the pieces that it waits for when there is nothing else to do.
        stop: checked while there is nothing to do but wait.

    Raises:
        StoppedError: it was stopped while it waited.
    """
    left = list(pieces)
    awaited: list[Piece] = []
    while left:
        busy = []
        for piece in left:
            with locked(lock(piece)) as own:
                if own:
                    make(piece)
                else:
                    busy.append(piece)
        if len(busy) == len(left):
            if busy != awaited:
                report(f"waiting for what other processes make: {', '.join(lock(p).stem for p in busy)}")
                awaited = busy
            if stop.made:
                raise StoppedError(f"stopped; another process is still making {lock(busy[0]).stem}")
            time.sleep(PATIENCE)
        left = busy
