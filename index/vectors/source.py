"""Stored descriptors as vectors: what every index is made of, and what candidates are compared by."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.cameras.normalisation import Normalisation
from index.database.changes import CHUNK, DESCRIPTORS, Described, OnDamage, described
from index.errors import DamagedImageError

BY_ID: Final = DESCRIPTORS + " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"  # noqa: S608

log = logging.getLogger(__name__)


class Source:
    """The descriptors in a gallery's database.

    Args:
        reading: gives a connection for a while.
    """

    def __init__(self, reading: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._reading = reading
        self._told: set[int] = set()

    def described(self, ids: NDArray[np.int64], on_damage: OnDamage | None = None) -> Iterator[Described]:
        """Those of the ids [n] that are enrolled, in pieces, each a read of its own; see `changes.described`.

        A long read would keep the write-ahead log growing.
        """
        for start in range(0, len(ids), CHUNK):
            wanted = json.dumps(ids[start : start + CHUNK].tolist())
            with self._reading() as connection:
                pieces = list(described(connection, BY_ID, wanted, on_damage=on_damage))
            yield from pieces

    def vectors(
        self, ids: NDArray[np.int64], normalisation: Normalisation
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Those of the ids that are enrolled, and their vectors `[n, d]`.

        One that is damaged is left out, and logged once: a search goes on without it.
        """
        found = list(self.described(ids, self.tell))
        if not found:
            return np.empty(0, np.int64), np.empty((0, 0), np.float32)
        pieces = [normalisation.apply(each.descriptors, each.cameras) for each in found]
        return np.concatenate([each.ids for each in found]), np.concatenate(pieces)

    def tell(self, record_id: int, error: DamagedImageError) -> None:
        """Log, once, that searches leave an image out."""
        if record_id not in self._told:
            self._told.add(record_id)
            log.error("%s; searches leave it out", error)
