"""Changing what is known of an enrolled image, which keeps its number, its file, its descriptor and its
strips.

The log of changes says that the record was deleted and enrolled, so that a snapshot from before is not taken
for one from after, and what stood there is erased as a deleted record is.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index.amendment import Amendment
from index.database.cameras import Cameras
from index.database.changes import Changes
from index.database.checksums import record_checksum
from index.database.removal import Removal
from index.database.rows import INSERT_TAG, SELECT, UPDATE, read_record, record_row, to_record
from index.errors import ChangedImageError, UnknownImageError
from index.record import Record


@dataclass(frozen=True, slots=True)
class Amended:
    """What became of a record.

    Attributes:
        record: as it is now.
        record_id: its number.
        sequence: of the last change, 0 where nothing changed.
        moved: its descriptor `[d]`, where its camera is another one now.
    """

    record: Record
    record_id: int
    sequence: int = 0
    moved: NDArray[np.float32] | None = None


def amend(
    writer: sqlite3.Connection,
    changes: Changes,
    cameras: Cameras,
    image_id: str,
    amendment: Amendment,
    fingerprint: str,
    was: Record | None = None,
) -> Amended:
    """Change a record inside the caller's transaction; only one that is still `was`, where that is given.

    Raises:
        UnknownImageError: it is not enrolled.
        ChangedImageError: it is another one.
        DamagedImageError: what is known of it is not what was written.
    """
    row = writer.execute(f"{SELECT} WHERE image_id = ?", (image_id,)).fetchone()
    if row is None:
        raise UnknownImageError(image_id)
    before = read_record(row, fingerprint)
    if was is not None and before != was:
        raise ChangedImageError(image_id)
    after: Record = replace(before, **amendment)
    values = record_row(after)
    after = to_record((row[0], *values), fingerprint)
    if after == before:
        return Amended(before, row[0])
    moved = None
    counted = Removal(writer, changes, cameras).counted(row) if after.camera_id != before.camera_id else None
    writer.execute(UPDATE, (*values, row[0]))
    writer.execute(
        "UPDATE checksum SET record = ? WHERE record_id = ?", (record_checksum(row[0], values), row[0])
    )
    writer.execute("DELETE FROM tag WHERE record_id = ?", row[:1])
    writer.executemany(INSERT_TAG, ((tag, row[0]) for tag in after.tags))
    if after.camera_id != before.camera_id:
        if counted is None:
            cameras.recompute()
        else:
            moved = counted[1]
            cameras.deleted([before.camera_id], [moved])
            cameras.enrolled([after.camera_id], [moved])
    changes.deleted(row[0])
    return Amended(after, row[0], changes.enrolled(row[0]), moved)
