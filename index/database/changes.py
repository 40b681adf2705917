"""The log of changes, and the descriptors, from which the vector index is brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.database.checksums import checked
from index.database.descriptors import unpack_bytes
from index.errors import DamagedImageError

CHUNK = 256  # descriptors in memory at a time while the index is filled; 8 MiB at d = 8192

DESCRIPTORS = (
    "SELECT id, image_id, camera_id, data, checksum.descriptor FROM record "
    "LEFT JOIN descriptor ON descriptor.record_id = id LEFT JOIN checksum ON checksum.record_id = id"
)
COUNT = "SELECT count(*) FROM record NOT INDEXED"
TOUCHED = "SELECT DISTINCT record_id FROM change WHERE sequence > ? ORDER BY record_id"

OnDamage = Callable[[int, DamagedImageError], None]


@dataclass(frozen=True, slots=True)
class Described:
    """Ids `[n]`, descriptors `[n, d]` as they are stored, and the camera of each, None for none."""

    ids: NDArray[np.int64]
    descriptors: NDArray[np.float32]
    cameras: list[str | None]


class Changes:
    """Every enrollment and deletion has a number: consecutive, never reused, committed with it.

    Where what is known of an image changes, its record is logged as deleted and enrolled.

    It uses the writing connection, so the caller keeps the writer's lock. Descriptors that are not what was
    written raise DamagedImageError.
    """

    def __init__(self, writer: sqlite3.Connection) -> None:
        self._writer = writer

    def enrolled(self, record_id: int) -> int:
        """Log an enrollment inside the caller's transaction; its sequence number."""
        return self._append(record_id, "enroll")

    def deleted(self, record_id: int) -> int:
        """Log a deletion inside the caller's transaction; its sequence number."""
        return self._append(record_id, "delete")

    def last(self) -> int:
        """The sequence number of the last change, 0 before the first."""
        return self._number("SELECT coalesce(max(sequence), 0) FROM change")

    def history(self) -> str:
        """The id that the database got when it was made; no other gallery's database has it."""
        return str(self._writer.execute("SELECT id FROM history").fetchone()[0])

    def count(self) -> int:
        """How many records there are, by the table itself and not by an index of it."""
        return self._number(COUNT)

    def token(self, sequence: int) -> int | None:
        """The token of that change: None where the log has no such change, 0 before the first."""
        if sequence == 0:
            return 0
        row = self._writer.execute("SELECT token FROM change WHERE sequence = ?", (sequence,)).fetchone()
        return None if row is None else int(row[0])

    def reach_back_to(self, sequence: int) -> bool:
        """Whether the log still holds every change after that one."""
        held = self._number("SELECT count(*) FROM change WHERE sequence > ?", sequence)
        return held == self.last() - sequence

    def grown_after(self, sequence: int) -> int:
        """By how many records the gallery has grown since that change; negative where it has shrunk."""
        return self._number(
            "SELECT coalesce(sum(CASE kind WHEN 'enroll' THEN 1 ELSE -1 END), 0) FROM change "
            "WHERE sequence > ?",
            sequence,
        )

    def has_deleted_after(self, sequence: int) -> bool:
        """Whether the log knows of a deletion after that change."""
        query = "SELECT EXISTS (SELECT 1 FROM change WHERE sequence > ? AND kind = 'delete')"
        return bool(self._number(query, sequence))

    def touched_after(self, sequence: int) -> NDArray[np.int64]:
        """Ids [n], ascending, of all records that came, went or were amended after that change."""
        return self._ids(TOUCHED, sequence)

    def everything(self, on_damage: OnDamage | None = None) -> Iterator[Described]:
        """The whole gallery, in pieces, in order of enrollment; see `described`."""
        return described(self._writer, f"{DESCRIPTORS} ORDER BY id", on_damage=on_damage)

    def ids(self) -> NDArray[np.int64]:
        """Ids [n] of the whole gallery, ascending."""
        return self._ids("SELECT id FROM record ORDER BY id")

    def drop_before(self, sequence: int) -> None:
        """Drop what a snapshot at that change holds; the change itself stays, for its token."""
        self._writer.execute("DELETE FROM change WHERE sequence < ?", (sequence,))

    def _append(self, record_id: int, kind: str) -> int:
        row = self._writer.execute(
            "INSERT INTO change (record_id, kind) VALUES (?, ?) RETURNING sequence", (record_id, kind)
        ).fetchone()
        return int(row[0])

    def _number(self, query: str, *values: Any) -> int:
        return int(self._writer.execute(query, values).fetchone()[0])

    def _ids(self, query: str, *values: Any) -> NDArray[np.int64]:
        return np.array([row[0] for row in self._writer.execute(query, values)], dtype=np.int64)


def described(
    connection: sqlite3.Connection,
    query: str = DESCRIPTORS,
    *values: Any,
    on_damage: OnDamage | None = None,
) -> Iterator[Described]:
    """What a query that begins with DESCRIPTORS finds, in pieces.

    Raises DamagedImageError, or tells it to `on_damage`, with the record's number, and leaves the image out.
    """
    cursor = connection.execute(query, values)
    while rows := cursor.fetchmany(CHUNK):
        sound, data = [], []
        for row in rows:
            try:
                data.append(checked("descriptor", row[1], row[0], row[3], row[4]))
                sound.append(row)
            except DamagedImageError as error:
                if on_damage is None:
                    raise
                on_damage(row[0], error)
        if sound:
            ids = np.array([row[0] for row in sound], dtype=np.int64)
            yield Described(ids, unpack_bytes(data), [row[2] for row in sound])
