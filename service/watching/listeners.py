"""Those who listen for alerts: how many, and what wakes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.inference.request import Overloaded
from service.watching.waking import Waking

MOST: int = 64
"""Listeners at a time: each keeps a connection."""


class Listeners:
    """Listeners of alerts, of one event loop."""

    def __init__(self) -> None:
        self._of: dict[Waking, str] = {}
        self.closed = False

    def __len__(self) -> int:
        """Listeners there are."""
        return len(self._of)

    @contextmanager
    def listening(self, collection: str) -> Iterator[Waking]:
        """Be one, of a collection; what is given wakes after an alert and when all are to end.

        Raises:
            Overloaded: there are as many as may be.
        """
        if len(self._of) >= MOST:
            raise Overloaded(f"{MOST} listen for alerts already")
        waking = Waking()
        self._of[waking] = collection
        try:
            yield waking
        finally:
            del self._of[waking]

    def wake(self, collection: str) -> None:
        """Wake those of a collection."""
        for waking, name in self._of.items():
            if name == collection:
                waking.call()

    def close(self) -> None:
        """Have all of them end, and let no one in any more."""
        self.closed = True
        for waking in self._of:
            waking.call()
