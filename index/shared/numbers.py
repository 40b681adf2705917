"""Whole numbers in the shared store: those of enrollments, and a collection's settings."""

from __future__ import annotations

from typing import Final

from index.shared.store import SharedStore

REACH: Final = """
if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""


class SharedNumbers:
    """Numbers of enrollments: whichever replica draws later, draws higher ones.

    Args:
        store: where the last one is.
        collection: the token of the collection.
    """

    def __init__(self, store: SharedStore, collection: str) -> None:
        self._store = store
        self._last = store.key("collection", collection, "number")

    def draw(self, count: int) -> int:
        """The first of so many numbers in a row, 1 or more, that were never drawn before.

        Raises:
            SharedStoreError: the store does not answer.
        """
        with self._store.client() as client:
            return int(client.incrby(self._last, count)) - count + 1

    def were_drawn(self) -> bool:
        """Whether any was, which every opening of a gallery does. Raises SharedStoreError."""
        with self._store.client() as client:
            return bool(client.exists(self._last))

    def reach(self, number: int) -> None:
        """See that what is drawn from now on is higher than this one. Raises SharedStoreError."""
        self._store.run(REACH, [self._last], number)


class SharedSettings:
    """Whole numbers by name.

    Args:
        store: where they are.
        collection: the token of the collection.
    """

    def __init__(self, store: SharedStore, collection: str) -> None:
        self._store = store
        self._values = store.key("collection", collection, "settings")

    def get(self, name: str) -> int | None:
        """What is set; None where nothing is. Raises SharedStoreError."""
        with self._store.client() as client:
            found = client.hget(self._values, name)
        with self._store.understood(f"the setting {name} of a collection"):
            return None if found is None else int(found)

    def set(self, name: str, value: int | None) -> None:
        """Set it, durably; None takes it away. Raises SharedStoreError."""
        with self._store.client() as client:
            if value is None:
                client.hdel(self._values, name)
            else:
                client.hset(self._values, name, value)
