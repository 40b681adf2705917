"""A step of `index.database.migration`: stored descriptors become float16.

The descriptors of a large gallery are more than one transaction should hold. They are copied first, piece by
piece and each piece committed, to a table that the earlier version does not know of. The database is of that
version meanwhile; a process that is killed loses a piece at most, and the next opening goes on from there.
(What the earlier software deletes in between goes from the copy too, by its foreign key.) Then one
transaction gives the copy the old table's name, with checksums and sums of what it holds. The old table's
bytes are free pages of the database, which later enrollments fill.
"""

from __future__ import annotations

import logging
import sqlite3
import time

import numpy as np

from index.cameras.sums import Sums
from index.database.checksums import checksum
from index.database.connections import transaction

PIECE = 256  # descriptors that are copied in a transaction
TELL_S = 10.0  # between two lines of the log

log = logging.getLogger(__name__)


def copy_descriptors(connection: sqlite3.Connection) -> None:
    """Copy what is not copied yet; a descriptor that is damaged is copied as it is, and stays damaged."""
    connection.execute(
        """CREATE TABLE IF NOT EXISTS descriptor_16 (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT"""
    )
    connection.execute(
        """CREATE TABLE IF NOT EXISTS descriptor_16_checksum (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        checksum INTEGER NOT NULL
    ) STRICT"""
    )
    [last] = connection.execute("SELECT coalesce(max(record_id), 0) FROM descriptor_16").fetchone()
    [total] = connection.execute("SELECT count(*) FROM descriptor WHERE record_id > ?", (last,)).fetchone()
    done, logged_at = 0, time.monotonic()
    while True:
        rows = connection.execute(
            "SELECT record_id, data, checksum.descriptor FROM descriptor "
            "LEFT JOIN checksum USING (record_id) WHERE record_id > ? ORDER BY record_id LIMIT ?",
            (last, PIECE),
        ).fetchall()
        if not rows:
            return
        with transaction(connection):
            for record_id, data, expected in rows:
                _copy(connection, record_id, data, expected)
        last, done = rows[-1][0], done + len(rows)
        if time.monotonic() - logged_at > TELL_S:
            logged_at = time.monotonic()
            log.info("%d of %d descriptors are stored as float16", done, total)


def use_copies(connection: sqlite3.Connection) -> None:
    """Put the copy in the old table's place; belongs into a transaction."""
    connection.execute(
        "UPDATE checksum SET descriptor = rounded.checksum FROM descriptor_16_checksum AS rounded "
        "WHERE rounded.record_id = checksum.record_id"
    )
    _count_cameras(connection)
    connection.execute("DROP TABLE descriptor")
    connection.execute("DROP TABLE descriptor_16_checksum")
    connection.execute("ALTER TABLE descriptor_16 RENAME TO descriptor")


def _copy(connection: sqlite3.Connection, record_id: int, data: bytes, expected: int | None) -> None:
    if checksum(record_id, data) == expected:
        data = np.frombuffer(data, dtype="<f4").astype("<f2").tobytes()
        values = (record_id, checksum(record_id, data))
        connection.execute("INSERT INTO descriptor_16_checksum VALUES (?, ?)", values)
    else:
        log.warning("the descriptor of record %d is damaged and stays so", record_id)
    connection.execute("INSERT INTO descriptor_16 VALUES (?, ?)", (record_id, data))


def _count_cameras(connection: sqlite3.Connection) -> None:
    """Each camera's sums over enrolled images, of the descriptors as they will be read."""
    [dim] = connection.execute("SELECT descriptor_dim FROM gallery").fetchone()
    counted: dict[str, Sums] = {}
    found = connection.execute(
        "SELECT ifnull(camera_id, ''), data FROM descriptor_16 "
        "JOIN descriptor_16_checksum USING (record_id) JOIN record ON record.id = record_id"
    )
    while rows := found.fetchmany(PIECE):
        wide = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f2").astype(np.float64)
        wide = wide.reshape(len(rows), dim)
        lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
        descriptors = (wide / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
        cameras = np.array([row[0] for row in rows], dtype=object)
        for camera_id in dict.fromkeys(cameras.tolist()):
            held = counted.get(camera_id) or Sums.nothing(dim)
            counted[camera_id] = held + Sums.of(descriptors[cameras == camera_id])
    connection.execute("DELETE FROM camera WHERE source = 'enrolled'")
    for camera_id, sums in counted.items():
        data = sums.to_bytes()
        connection.execute(
            "INSERT INTO camera VALUES ('default', ?, 'enrolled', ?, ?, ?)",
            (camera_id, sums.count, data, checksum(sums.count, data)),
        )
