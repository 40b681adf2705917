"""The tables of a gallery's database, their version, and the check that a database is one of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import FingerprintMismatchError, GallerySchemaError, GalleryShapeError
from index.record import GalleryHeader

SCHEMA_VERSION = 1
APPLICATION_ID = 0x4C4B4152  # "LKAR", by which `file` and we know the database as a gallery

# Blobs live beside the record, not in it: listing then reads only the pages that it shows.
# A change's token is random: a snapshot that names sequence and token proves that it belongs to
# this history, and not to one that a restored backup has left behind.
TABLES = (
    """CREATE TABLE gallery (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        fingerprint TEXT NOT NULL,
        descriptor_dim INTEGER NOT NULL,
        strips_count INTEGER,
        strips_width INTEGER
    ) STRICT""",
    """CREATE TABLE record (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        image_id TEXT NOT NULL UNIQUE,
        vehicle_id TEXT,
        camera_id TEXT,
        captured_at INTEGER,
        view TEXT,
        tags TEXT NOT NULL,
        enrolled_at INTEGER NOT NULL,
        media_type TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE descriptor (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE strips (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE image (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE change (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        record_id INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('enrol', 'delete')),
        token INTEGER NOT NULL DEFAULT (random())
    ) STRICT""",
)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block is committed, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def prepare(connection: sqlite3.Connection, path: Path, header: GalleryHeader) -> None:
    """Create the tables in an empty database, or check that they are ours and of this header.

    Raises GallerySchemaError, FingerprintMismatchError or GalleryShapeError (naming `path`, the
    gallery's folder); a database that is refused is left as it was.
    """
    if _is_empty(connection):
        with transaction(connection):
            for table in TABLES:
                connection.execute(table)
            count, width = header.strips_shape or (None, None)
            connection.execute(
                "INSERT INTO gallery VALUES (1, ?, ?, ?, ?)",
                (header.fingerprint, header.descriptor_dim, count, width),
            )
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        return
    found = read_header(connection, path)
    if found.fingerprint != header.fingerprint:
        raise FingerprintMismatchError(path, found.fingerprint, header.fingerprint)
    if found != header:
        raise GalleryShapeError(path, found.shapes(), header.shapes())


def read_header(connection: sqlite3.Connection, path: Path) -> GalleryHeader:
    """The header of the gallery in this database. Raises GallerySchemaError where it has none."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise GallerySchemaError(path, "its database is not a gallery")
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise GallerySchemaError(
            path,
            f"its schema version is {version}, this software knows versions up to {SCHEMA_VERSION}; "
            "use the newer software that wrote it",
        )
    row = connection.execute(
        "SELECT fingerprint, descriptor_dim, strips_count, strips_width FROM gallery"
    ).fetchone()
    return GalleryHeader(row[0], row[1], None if row[2] is None else (row[2], row[3]))


def _is_empty(connection: sqlite3.Connection) -> bool:
    return (
        not _pragma(connection, "application_id")
        and not (connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
