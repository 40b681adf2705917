"""Those who listen for alerts: how many, and what wakes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.inference.request import Overloaded
from service.watching.waking import Waking

MOST: int = 64
"""Listeners at a time: each keeps a connection."""
MOST_OF_ONE: int = 16
"""Of these, of one caller: others find places whatever one does."""


class Listeners:
    """Listeners of alerts, of one event loop."""

    def __init__(self) -> None:
        self._of: dict[Waking, str] = {}
        self._callers: Counter[str] = Counter()
        self.closed = False

    def __len__(self) -> int:
        """Listeners there are."""
        return len(self._of)

    @contextmanager
    def listening(self, collection: str, caller: str) -> Iterator[Waking]:
        """Be one, of a collection; what is given wakes after an alert and when all are to end.

        Args:
            collection: whose alerts are listened for.
            caller: a key's id, or an address.

        Raises:
            Overloaded: there are as many as may be, of all or of this caller.
        """
        if self._callers[caller] >= MOST_OF_ONE:
            raise Overloaded(
                f"this caller (a key, or an address without keys) listens for alerts {MOST_OF_ONE} times "
                "already, as often as one may; let one of the streams end"
            )
        if len(self._of) >= MOST:
            raise Overloaded(f"{MOST} listen for alerts already")
        waking = Waking()
        self._of[waking] = collection
        self._callers[caller] += 1
        try:
            yield waking
        finally:
            del self._of[waking]
            self._callers[caller] -= 1
            # A counter keeps what is zero, and there are as many callers as addresses.
            self._callers += Counter()

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
