"""Removing records, inside the caller's transaction, with all that is counted of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.database import verdicts, watches
from index.database.cameras import Cameras
from index.database.changes import Changes
from index.database.checksums import checked
from index.database.descriptors import unpack_bytes
from index.database.rows import read_record
from index.errors import DamagedImageError

Counted = tuple[str | None, NDArray[np.float32]]
"""The camera of an image, and its descriptor `[d]` as it is counted in the camera's sums."""


class Removal:
    """Removes records of one gallery by its writing connection."""

    def __init__(self, writer: sqlite3.Connection, changes: Changes, cameras: Cameras) -> None:
        self._writer = writer
        self._changes = changes
        self._cameras = cameras

    def remove(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """Remove the records of rows of SELECT, one or more; the sequence number after them."""
        counted = [self.counted(row) for row in rows]
        for row in rows:
            verdicts.forget_copies(self._writer, row[0])
            watches.forget_copies(self._writer, row[0])
        self._writer.executemany("DELETE FROM record WHERE id = ?", (row[:1] for row in rows))
        sound = [one for one in counted if one is not None]
        if len(sound) < len(counted):
            self._cameras.recompute()
        else:
            self._cameras.deleted([camera_id for camera_id, _ in sound], [its for _, its in sound])
        return [self._changes.deleted(row[0]) for row in rows][-1]

    def counted(self, row: tuple[Any, ...]) -> Counted | None:
        """What is counted of the record of a row of SELECT; None where it is not what was written."""
        stored = self._writer.execute(
            "SELECT data, checksum.descriptor FROM checksum LEFT JOIN descriptor USING (record_id) "
            "WHERE record_id = ?",
            row[:1],
        ).fetchone()
        try:
            record = read_record(row, "")
            data = checked("descriptor", record.image_id, row[0], *(stored or (None, None)))
        except DamagedImageError:
            return None
        return record.camera_id, unpack_bytes([data])[0]
