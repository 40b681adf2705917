"""Ctrl-C as a wish: the step under way is finished and saved; a second one ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedRunError(Exception):
    """A training was asked to stop; everything is saved."""


class Interruption:
    """Whether somebody has asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int, _: FrameType | None) -> None:
        """What is called by a signal.

        Raises:
            KeyboardInterrupt: it is the second one.
        """
        if self.asked:
            raise KeyboardInterrupt(f"signal {number}")
        self.asked = True


@contextmanager
def listening() -> Iterator[Interruption]:
    """Take Ctrl-C and SIGTERM as wishes; outside of the main thread nothing is taken."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before: dict[Any, Any] = {number: signal.signal(number, interruption.ask) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
