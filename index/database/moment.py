"""The database of a gallery as one transaction sees it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from index.cameras.sums import CameraSums
from index.database.cameras import read_cameras
from index.database.checksums import checked
from index.database.conditions import conditions
from index.database.rows import SELECT, read_record
from index.filter import Filter
from index.record import GalleryHeader, Record

SELECT_IDS = SELECT + " WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - two constants
SELECT_STRIPS = (
    "SELECT id, image_id, data, checksum.strips FROM record "
    "LEFT JOIN strips ON strips.record_id = id LEFT JOIN checksum ON checksum.record_id = id "
    "WHERE id IN (SELECT value FROM json_each(?))"
)


class Moment:
    """The database as it is at one moment: in a transaction that has begun on this connection."""

    def __init__(self, connection: sqlite3.Connection, header: GalleryHeader) -> None:
        self._connection = connection
        self._header = header

    def ids(self, where: Filter) -> NDArray[np.int64]:
        """Ids `[n]`, ascending, of the records that a filter lets through."""
        condition, values = conditions(where)
        # One text, and not a row each: with hundreds of thousands of them, rows would take most of the time.
        [found] = self._connection.execute(
            f"SELECT group_concat(id) FROM record WHERE {condition}",  # noqa: S608 - our own conditions
            values,
        ).fetchone()
        ids = np.fromstring(found or "", dtype=np.int64, sep=",")
        ids.sort()
        return ids

    def count(self, where: Filter) -> int:
        """How many records a filter lets through."""
        condition, values = conditions(where)
        query = f"SELECT count(*) FROM record WHERE {condition}"  # noqa: S608 - our own conditions
        return int(self._connection.execute(query, values).fetchone()[0])

    def records(self, ids: set[int]) -> dict[int, Record]:
        """The records of those of the ids that are enrolled."""
        rows = self._rows(SELECT_IDS, ids)
        return {row[0]: read_record(row, self._header.fingerprint) for row in rows}

    def strips(self, ids: set[int]) -> dict[int, NDArray[np.float16]]:
        """Strips float16 [s, w] of those of the ids that have some."""
        rows = self._rows(SELECT_STRIPS, ids)
        shape = self._header.strips_shape or (0, 0)
        found = {}
        for record_id, image_id, data, expected in rows:
            if data is None and expected is None:
                continue
            sound = checked("strips", image_id, record_id, data, expected)
            found[record_id] = np.frombuffer(sound, dtype="<f2").reshape(shape).astype(np.float16, copy=False)
        return found

    def cameras(self) -> Mapping[str, CameraSums]:
        """The sums of every camera that has images, by its id."""
        return read_cameras(self._connection, self._header.descriptor_dim)

    def _rows(self, query: str, ids: set[int]) -> sqlite3.Cursor:
        return self._connection.execute(query, (json.dumps(sorted(ids)),))
