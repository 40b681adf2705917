"""The table of frames."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence

from index.database.tables import Tables
from index.errors import UnknownImageError
from index.frames import Frame

TABLES = Tables(
    """CREATE TABLE IF NOT EXISTS frame (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        media_type TEXT NOT NULL,
        data BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS record_frame (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        frame_id INTEGER NOT NULL REFERENCES frame (id) ON DELETE CASCADE
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS record_frame_frame ON record_frame (frame_id)",
    """CREATE TRIGGER IF NOT EXISTS frame_of_the_gone AFTER DELETE ON record_frame
        BEGIN DELETE FROM frame WHERE id = OLD.frame_id; END""",
)
# By its digest: to look through all frames would take the longer the more there are.
DELETE_UNUSED = (
    "DELETE FROM frame WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM record_frame WHERE frame_id = frame.id)"
)
SELECT_FRAME = (
    "SELECT frame.data, frame.media_type, digest FROM frame JOIN record_frame ON frame.id = frame_id "
    "JOIN record ON record.id = record_id WHERE image_id = ?"
)


def keep(connection: sqlite3.Connection, image_ids: Sequence[str], frame: Frame) -> None:
    """Keep the frame of these images, inside the caller's transaction; what has one already keeps that.

    Raises UnknownImageError.
    """
    connection.execute(
        "INSERT OR IGNORE INTO frame (digest, media_type, data) VALUES (?, ?, ?)",
        (digest_of(frame.data), frame.media_type, frame.data),
    )
    for image_id in image_ids:
        kept = connection.execute(
            "INSERT OR IGNORE INTO record_frame (record_id, frame_id) "
            "SELECT record.id, frame.id FROM record, frame WHERE image_id = ? AND digest = ?",
            (image_id, digest_of(frame.data)),
        )
        known = "SELECT 1 FROM record WHERE image_id = ?"
        if not kept.rowcount and connection.execute(known, (image_id,)).fetchone() is None:
            raise UnknownImageError(image_id)
    # Where all of them had another one.
    connection.execute(DELETE_UNUSED, (digest_of(frame.data),))


def digest_of(frame: bytes) -> bytes:
    """What proves a frame's file: SHA-256."""
    return hashlib.sha256(frame).digest()
