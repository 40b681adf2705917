"""Making anew what a gallery derives from its records, and taking out what cannot be saved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.database.cameras import Cameras
from index.database.changes import Changes
from index.database.connections import DATABASE, transaction
from index.database.derived import mend
from index.database.failures import failures_named
from index.database.migration import SCHEMA_VERSION
from index.database.schema import create_tables, describe
from index.errors import GalleryReplacementError
from index.files.disk import sync
from index.files.lock import FolderLock
from index.files.private import create_file
from index.local.gallery import LocalGallery
from index.local.loss import WAL, check_loss
from index.record import GalleryHeader
from index.upkeep.verification import PARTS, Finding, verify

MENDED = f"{DATABASE}.mended"
DAMAGED = f"{DATABASE}.damaged"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many images the gallery holds, and what was found of those that were dropped."""

    images: int
    dropped: list[Finding]


def rebuild(folder: Path, *, drop_damaged: bool = False) -> Rebuilt:
    """Build SQLite's indexes and the vector index from the records, without the damaged ones if wished.

    Where the database cannot be mended in place, its tables are copied to a new one, and the old one is kept
    as `gallery.sqlite.damaged`.

    Raises:
        FileNotFoundError: there is no gallery.
        GalleryError: it cannot be opened, its tables are damaged, or an image is and is not to be dropped.
        OSError: the snapshot cannot be written.
    """
    header = describe(folder)
    with _alone(folder):
        _mend_indexes(folder)
        _mend_derived(folder / DATABASE, header)
    dropped = [each for each in verify(folder).findings if each.record_id is not None] if drop_damaged else []
    if dropped:
        with _alone(folder):
            _drop(folder / DATABASE, header, {each.record_id for each in dropped})
    with LocalGallery.open(
        folder,
        fingerprint=header.fingerprint,
        descriptor_dim=header.descriptor_dim,
        strips_shape=header.strips_shape,
        use_snapshot=False,
    ) as gallery:
        gallery.snapshot()
        return Rebuilt(gallery.count(), dropped)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FolderLock(folder)
    try:
        check_loss(folder)
        with failures_named(folder / DATABASE):
            yield
    finally:
        lock.release()


def _drop(database: Path, header: GalleryHeader, record_ids: set[int | None]) -> None:
    """Remove records, log it as any deletion, and count their cameras' images anew."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with transaction(connection):
            for record_id in record_ids:
                if record_id is None:
                    continue
                if connection.execute("DELETE FROM record WHERE id = ?", (record_id,)).rowcount:
                    Changes(connection).deleted(record_id)
                for table in (*PARTS, "checksum", "image_digest"):  # what a record left behind that is gone
                    connection.execute(f"DELETE FROM {table} WHERE record_id = ?", (record_id,))  # noqa: S608
            Cameras(connection, header.descriptor_dim).recompute()


def _mend_derived(database: Path, header: GalleryHeader) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:  # else the opening that follows makes all of it
            mend(connection, header.descriptor_dim)


def _mend_indexes(folder: Path) -> None:
    database, mended = folder / DATABASE, folder / MENDED
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        try:
            connection.execute("REINDEX")
            if connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",):
                return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
        mended.unlink(missing_ok=True)
        create_file(mended)
        with closing(sqlite3.connect(mended, isolation_level=None)) as target:
            create_tables(target)
        connection.execute("ATTACH ? AS mended", (str(mended),))
        # Tables that this database has not got yet stay empty.
        tables = connection.execute(
            "SELECT name FROM mended.sqlite_schema JOIN main.sqlite_schema USING (type, name) "
            "WHERE type = 'table'"
        ).fetchall()
        with transaction(connection):
            for [table] in tables:
                connection.execute(f"DELETE FROM mended.{table}")  # noqa: S608 - our own tables
                # Without a limit SQLite would copy the index as it is.
                connection.execute(
                    f"INSERT INTO mended.{table} SELECT * FROM main.{table} NOT INDEXED LIMIT -1"  # noqa: S608
                )
    sync(mended)
    # A log that could not be folded would be read as the new database's.
    if database.with_name(WAL).exists():
        raise GalleryReplacementError(database)
    database.replace(folder / DAMAGED)
    mended.replace(database)
    sync(folder)
