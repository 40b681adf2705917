"""The tables of a gallery's database, their version, and the check that a database is one of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from index.database import frames, verdicts, watches
from index.database.connections import DATABASE, transaction
from index.database.failures import failures_named
from index.database.migration import SCHEMA_VERSION, migrate
from index.errors import FingerprintMismatchError, GalleryDamagedError, GallerySchemaError, GalleryShapeError
from index.files.space import Space
from index.record import GalleryHeader

APPLICATION_ID = 0x4C4B4152  # "LKAR", by which `file` and we know the database as a gallery

# Blobs live beside the record, not in it: listing then reads only the pages that it shows.
# Checksums are of what lies in the other tables under the same number (see `index.database.checksums`).
# A camera's sums are of raw descriptors; "" as its id stands for images without one, and in an estimate for
# every camera that has none of its own. Images of a calibration are known by digests: none counts twice.
# A history's id is made with the database: a snapshot that names another was made of another gallery.
# A change's token is random: a snapshot that names sequence and token proves that it belongs to
# this history, and not to one that a restored backup has left behind. So does a normalisation's.
# An index of records holds all that a filter asks for but tags, so that a filter reads one index and nothing
# else; tags are in a table of their own, made from those of the record. A setting is what was set of this
# gallery, such as a quota, by its name. Digests of images find the same bytes under another id.
HISTORY = """CREATE TABLE IF NOT EXISTS history (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16))))
    ) STRICT"""
TABLES = (
    HISTORY,
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
        media_type TEXT NOT NULL,
        vehicle_type TEXT
    ) STRICT""",
    # In quotes as a migration leaves it.
    """CREATE TABLE "descriptor" (
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
    """CREATE TABLE image_digest (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        digest BLOB NOT NULL
    ) STRICT""",
    """CREATE INDEX image_digest_digest ON image_digest (digest)""",
    """CREATE TABLE checksum (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        record INTEGER NOT NULL,
        descriptor INTEGER NOT NULL,
        strips INTEGER,
        image INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE change (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        record_id INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('enroll', 'delete')),
        token INTEGER NOT NULL DEFAULT (random())
    ) STRICT""",
    """CREATE TABLE camera (
        collection TEXT NOT NULL,
        camera_id TEXT NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('enrolled', 'calibrated')),
        count INTEGER NOT NULL,
        sums BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (collection, camera_id, source)
    ) STRICT""",
    """CREATE TABLE calibration_image (
        collection TEXT NOT NULL,
        camera_id TEXT NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (collection, camera_id, digest)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE normalisation (
        version INTEGER PRIMARY KEY AUTOINCREMENT,
        token INTEGER NOT NULL DEFAULT (random()),
        made_at INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE normalisation_camera (
        version INTEGER NOT NULL REFERENCES normalisation (version) ON DELETE CASCADE,
        collection TEXT NOT NULL,
        camera_id TEXT NOT NULL,
        count INTEGER NOT NULL,
        estimate BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (version, collection, camera_id)
    ) STRICT""",
    """CREATE INDEX record_camera ON record (camera_id, captured_at, vehicle_type, view, vehicle_id)""",
    """CREATE INDEX record_time ON record (captured_at, camera_id, vehicle_type, view, vehicle_id)""",
    """CREATE INDEX record_vehicle ON record (vehicle_id, captured_at, camera_id, vehicle_type, view)""",
    """CREATE INDEX record_view ON record (view, vehicle_type, captured_at, camera_id, vehicle_id)""",
    """CREATE INDEX record_type ON record (vehicle_type, captured_at, camera_id, view, vehicle_id)""",
    """CREATE TABLE tag (
        tag TEXT NOT NULL,
        record_id INTEGER NOT NULL REFERENCES record (id) ON DELETE CASCADE,
        PRIMARY KEY (tag, record_id)
    ) STRICT, WITHOUT ROWID""",
    """CREATE INDEX tag_record ON tag (record_id)""",
    """CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

ADDED = (verdicts.TABLES, frames.TABLES, watches.TABLES)


def prepare(
    connection: sqlite3.Connection, database: Path, header: GalleryHeader, supersedes: Sequence[str]
) -> None:
    """Create the tables in an empty database, or check that they are ours and of this header.

    A database of an earlier version, or of a fingerprint that the header's supersedes, is brought to the
    present one. Raises GallerySchemaError, FingerprintMismatchError or GalleryShapeError, naming the
    gallery's folder, and GalleryMigrationError; a database that is refused is left as it was.
    """
    path = database.parent
    if _is_empty(connection):
        with transaction(connection):
            create_tables(connection)
            connection.execute("INSERT INTO history (only_row) VALUES (1)")
            count, width = header.strips_shape or (None, None)
            connection.execute(
                "INSERT INTO gallery VALUES (1, ?, ?, ?, ?)",
                (header.fingerprint, header.descriptor_dim, count, width),
            )
        return
    found = read_header(connection, path)
    if found.fingerprint not in (header.fingerprint, *supersedes):
        raise FingerprintMismatchError(path, found.fingerprint, header.fingerprint)
    if found.shapes() != header.shapes():
        raise GalleryShapeError(path, found.shapes(), header.shapes())
    migrate(
        connection,
        database,
        version=_pragma(connection, "user_version"),
        fingerprint=None if found == header else header.fingerprint,
    )
    _have_history(connection)
    for tables in ADDED:
        if not tables.are_in(connection):
            with transaction(connection):
                tables.create(connection)


def _have_history(connection: sqlite3.Connection) -> None:
    """Give the database of an earlier version the id of its history."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'history'").fetchone()
    if known is None or connection.execute("SELECT 1 FROM history").fetchone() is None:
        with transaction(connection):
            connection.execute(HISTORY)
            connection.execute("INSERT OR IGNORE INTO history (only_row) VALUES (1)")


def create_tables(connection: sqlite3.Connection) -> None:
    """Make an empty database one of this version, inside the caller's transaction if there is one."""
    for table in TABLES:
        connection.execute(table)
    for tables in ADDED:
        tables.create(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def read_header(connection: sqlite3.Connection, path: Path) -> GalleryHeader:
    """The header of the gallery in this database. Raises GallerySchemaError where it has none."""
    version = _pragma(connection, "user_version")
    if _pragma(connection, "application_id") != APPLICATION_ID or version < 1:
        raise GallerySchemaError(path, "its database is not a gallery")
    if version > SCHEMA_VERSION:
        raise GallerySchemaError(
            path,
            f"its schema version is {version}, this software knows versions up to {SCHEMA_VERSION}; "
            "use the newer software that wrote it",
        )
    row = connection.execute(
        "SELECT fingerprint, descriptor_dim, strips_count, strips_width FROM gallery"
    ).fetchone()
    if row is None:
        raise GalleryDamagedError(path / DATABASE, "its header is missing")
    if not isinstance(row[0], str) or not isinstance(row[1], int):
        raise GalleryDamagedError(path / DATABASE, "its header is damaged")
    return GalleryHeader(row[0], row[1], None if row[2] is None else (row[2], row[3]))


def _is_empty(connection: sqlite3.Connection) -> bool:
    return (
        not _pragma(connection, "application_id")
        and not (connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def describe(folder: Path) -> GalleryHeader:
    """The header of the gallery in this folder, whoever has it open.

    Raises FileNotFoundError, GallerySchemaError, GalleryDamagedError, or GalleryFullError where not even the
    files that SQLite needs for reading find room.
    """
    database = folder / DATABASE
    if not database.is_file() or not database.stat().st_size:
        raise FileNotFoundError(f"there is no gallery in {folder}")
    connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
    try:
        with failures_named(database, Space(folder)):
            return read_header(connection, folder)
    finally:
        connection.close()
