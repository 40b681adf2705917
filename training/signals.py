"""Graceful shutdown: Ctrl-C and SIGTERM let the step under way finish and be saved; a second one does not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """A training was stopped on request.

    Args:
        message: where it was stopped.
        kept: what of it is saved, in words.
    """

    def __init__(self, message: str, kept: str = "all of it is saved") -> None:
        super().__init__(message)
        self.kept = kept


class StopRequest:
    """Whether this process has been asked to shut down."""

    def __init__(self) -> None:
        self.made = False

    def receive(self, number: int, _: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: it is the second one.
        """
        if self.made:
            raise KeyboardInterrupt(f"signal {number}")
        self.made = True

    def between(self, done: int, total: int, doing: str = "embedding") -> None:
        """Shut down here, if that was asked for, between two batches of images outside of a training's steps.

        Args:
            done: images.
            total: of them.
            doing: what is done with them, for the message.

        Raises:
            StoppedError: it was, and some are left.
        """
        if self.made and done < total:
            raise StoppedError(
                f"stopped after {doing} {done:,} of {total:,} images",
                "these are gone through again, and what was finished before is saved",
            )


@contextmanager
def graceful_shutdown() -> Iterator[StopRequest]:
    """Take Ctrl-C and SIGTERM as a request to stop; outside of the main thread signals are left alone."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[Any, Any] = {number: signal.signal(number, request.receive) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
