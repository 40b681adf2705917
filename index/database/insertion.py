"""Inserting records, inside the caller's transaction, with all that belongs to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.database.cameras import Cameras
from index.database.changes import Changes
from index.database.checksums import INSERT_CHECKSUMS, checksum, digest, record_checksum
from index.database.descriptors import ITEM_BYTES, as_stored, pack
from index.database.room import OVERHEAD
from index.database.rows import INSERT, INSERT_TAG, to_record, to_row
from index.errors import DuplicateImageError
from index.record import Enrollment, GalleryHeader, Record


@dataclass(frozen=True, slots=True)
class Inserted:
    """What enrollments became: ids [n] and records in the order given, and the sequence after them."""

    ids: NDArray[np.int64]
    records: list[Record]
    sequence: int


class Insertion:
    """Inserts records of one gallery by its writing connection."""

    def __init__(
        self, writer: sqlite3.Connection, changes: Changes, cameras: Cameras, header: GalleryHeader
    ) -> None:
        self._writer = writer
        self._changes = changes
        self._cameras = cameras
        self._header = header

    def size(self, enrollments: Sequence[Enrollment]) -> int:
        """Bytes that enrollments take, and what SQLite adds."""
        cameras = len({enrollment.camera_id for enrollment in enrollments})
        return sum(map(_size, enrollments)) + cameras * 16 * self._header.descriptor_dim

    def insert(self, enrollments: Sequence[Enrollment], now: datetime) -> Inserted:
        """Insert checked enrollments. Raises DuplicateImageError."""
        ids: list[int] = []
        records: list[Record] = []
        sequence = 0
        for enrollment in enrollments:
            row = to_row(enrollment, now)
            ids.append(self._insert_record(row))
            self._writer.executemany(INSERT_TAG, ((tag, ids[-1]) for tag in enrollment.tags))
            self._insert_blobs(ids[-1], enrollment, row)
            records.append(to_record((ids[-1], *row), self._header.fingerprint))
            sequence = self._changes.enrolled(ids[-1])
        self._cameras.enrolled(
            [enrollment.camera_id for enrollment in enrollments],
            list(as_stored(np.stack([enrollment.descriptor for enrollment in enrollments]))),
        )
        return Inserted(np.array(ids, dtype=np.int64), records, sequence)

    def _insert_record(self, row: tuple[Any, ...]) -> int:
        try:
            added = self._writer.execute(INSERT, row).fetchone()
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            raise DuplicateImageError(row[0]) from error
        return int(added[0])

    def _insert_blobs(self, record_id: int, enrollment: Enrollment, row: tuple[Any, ...]) -> None:
        descriptor = pack(enrollment.descriptor).tobytes()
        self._writer.execute("INSERT INTO descriptor VALUES (?, ?)", (record_id, descriptor))
        self._writer.execute("INSERT INTO image VALUES (?, ?)", (record_id, enrollment.image))
        self._writer.execute("INSERT INTO image_digest VALUES (?, ?)", (record_id, digest(enrollment.image)))
        strips = None if enrollment.strips is None else enrollment.strips.astype("<f2").tobytes()
        if strips is not None:
            self._writer.execute("INSERT INTO strips VALUES (?, ?)", (record_id, strips))
        self._writer.execute(
            INSERT_CHECKSUMS,
            (
                record_id,
                record_checksum(record_id, row),
                checksum(record_id, descriptor),
                None if strips is None else checksum(record_id, strips),
                checksum(record_id, enrollment.image),
            ),
        )


def _size(enrollment: Enrollment) -> int:
    strips = 0 if enrollment.strips is None else enrollment.strips.nbytes
    return len(enrollment.image) + ITEM_BYTES * enrollment.descriptor.size + strips + OVERHEAD
