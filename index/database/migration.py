"""Bringing a gallery that an earlier version wrote to the present schema, and to its model's fingerprint.

The order is the protocol. First the whole database is copied to `backup-version-N/gallery.sqlite`, where N is
the version found: to a partial file, fsync, rename, fsync of the folder. Then each step from one version to
the next, with the version's number, is one transaction, and so is the new fingerprint. What is too much for
one goes before it (`PREPARATIONS`), in tables that the version does not know of. A process killed in between
leaves a database of one version, and the next opening goes on from there, with a new backup.

A backup is the gallery as the earlier software knows it. The first opening after `KEPT_DAYS` removes it.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import disk_usage, rmtree

import numpy as np

from index.cameras.sums import Sums
from index.database import digest_step, filter_step, float16_step
from index.database.checksums import INSERT_CHECKSUMS, checksum, record_checksum
from index.database.connections import DATABASE, transaction
from index.errors import GalleryMigrationError
from index.files.disk import create_folder, sync
from index.files.private import create_file

SCHEMA_VERSION = 7
KEPT_DAYS = 7
BACKUPS = "backup-version-*"
SPARE = 16 << 20  # bytes beside the backup that must be free, for the steps
PAGES = 2048  # of the database that are copied at a time; 8 MiB

log = logging.getLogger(__name__)


def migrate(
    connection: sqlite3.Connection, database: Path, *, version: int, fingerprint: str | None = None
) -> None:
    """Bring a database of this version to the present one, and to a fingerprint where one is given.

    A new fingerprint alone is one value and needs no backup.

    Raises:
        GalleryMigrationError: the disk is full, or fails; the gallery is of the version that it had.
    """
    if version < SCHEMA_VERSION:
        with _failures_named(database):
            saved = _back_up(connection, database, version)
            log.info("bringing the gallery to schema version %d; a copy of it is %s", SCHEMA_VERSION, saved)
            for number in range(version, SCHEMA_VERSION):
                if number in PREPARATIONS:
                    PREPARATIONS[number](connection)
                with transaction(connection):
                    STEPS[number](connection)
                    connection.execute(f"PRAGMA user_version = {number + 1}")
    if fingerprint is not None:
        with _failures_named(database), transaction(connection):
            connection.execute("UPDATE gallery SET fingerprint = ?", (fingerprint,))
        log.info("the gallery belongs to the bundle with fingerprint %s from now on", fingerprint)


def remove_old_backups(folder: Path) -> None:
    """Remove a gallery's backups whose days are over, but none that has been opened as a gallery."""
    for saved in folder.glob(f"{BACKUPS}/{DATABASE}"):
        try:
            age_days = (time.time() - saved.stat().st_mtime) / 86_400
            if age_days > KEPT_DAYS and _is_untouched(saved.parent):
                rmtree(saved.parent)
                log.info("removed the backup %s, which is %d days old", saved, age_days)
        except OSError:
            log.exception("the backup %s could not be removed", saved)


def _back_up(connection: sqlite3.Connection, database: Path, version: int) -> Path:
    """Copy the whole database, also what is in its write-ahead log only; where to."""
    folder = database.parent / _backup_folder(version)
    saved, partial = folder / DATABASE, folder / f"{DATABASE}.partial"
    if not _is_untouched(folder):
        raise GalleryMigrationError(
            database, SCHEMA_VERSION, f"{folder} holds a gallery that has been in use; move it elsewhere"
        )
    # What is there may be of an earlier state: the earlier software may have run since.
    rmtree(folder, ignore_errors=True)
    _check_space(connection, database)
    create_folder(folder)
    create_file(partial)
    with closing(sqlite3.connect(partial)) as target:
        # The file counts when it has its name, and not before.
        target.execute("PRAGMA journal_mode = OFF")
        target.execute("PRAGMA synchronous = OFF")
        connection.backup(target, pages=PAGES)
    sync(partial)
    partial.replace(saved)
    sync(folder)
    return saved


def _backup_folder(version: int) -> str:
    return BACKUPS.replace("*", str(version))


def _is_untouched(backup: Path) -> bool:
    """Whether the folder of a backup holds what `_back_up` leaves and nothing else, or is not there."""
    return not backup.exists() or all(file.name.startswith(DATABASE) for file in backup.iterdir())


def _check_space(connection: sqlite3.Connection, database: Path) -> None:
    [pages] = connection.execute("PRAGMA page_count").fetchone()
    [size] = connection.execute("PRAGMA page_size").fetchone()
    needed, free = pages * size + SPARE, disk_usage(database.parent).free
    if free < needed:
        raise GalleryMigrationError(
            database,
            SCHEMA_VERSION,
            f"it is copied first, for which {needed:,} bytes must be free, and {free:,} are; make room",
        )


@contextmanager
def _failures_named(database: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise GalleryMigrationError(database, SCHEMA_VERSION, str(error)) from error


def _spell_enroll(connection: sqlite3.Connection) -> None:
    """From version 1 to 2: the kind of change `enrol` becomes `enroll`, in the table's check as well."""
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'change'").fetchone()
    connection.execute("ALTER TABLE change RENAME TO change_1")
    connection.execute(
        """CREATE TABLE change (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        record_id INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('enroll', 'delete')),
        token INTEGER NOT NULL DEFAULT (random())
    ) STRICT"""
    )
    connection.execute(
        "INSERT INTO change SELECT sequence, record_id, replace(kind, 'enrol', 'enroll'), token FROM change_1"
    )
    connection.execute("DROP TABLE change_1")
    # Numbers are never given twice, though the last changes be forgotten.
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'change'")
    if last is not None:
        connection.execute("INSERT INTO sqlite_sequence VALUES ('change', ?)", last)


def _add_checksums(connection: sqlite3.Connection) -> None:
    """From version 2 to 3: checksums of what is there, one row for each record; what is missing stays so."""
    connection.execute(
        """CREATE TABLE checksum (
        record_id INTEGER PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
        record INTEGER NOT NULL,
        descriptor INTEGER NOT NULL,
        strips INTEGER,
        image INTEGER NOT NULL
    ) STRICT"""
    )
    rows = connection.execute(
        "SELECT id, descriptor.data, strips.data, image.data, image_id, vehicle_id, camera_id, captured_at, "
        "view, tags, enrolled_at, media_type FROM record LEFT JOIN descriptor ON descriptor.record_id = id "
        "LEFT JOIN strips ON strips.record_id = id LEFT JOIN image ON image.record_id = id"
    )
    for record_id, descriptor, strips, image, *values in rows:
        connection.execute(
            INSERT_CHECKSUMS,
            (
                record_id,
                record_checksum(record_id, values),
                checksum(record_id, descriptor or b""),
                None if strips is None else checksum(record_id, strips),
                checksum(record_id, image or b""),
            ),
        )


def _add_camera_statistics(connection: sqlite3.Connection) -> None:
    """From version 3 to 4: each camera's sums, of the descriptors that are there and undamaged."""
    for table in (
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
    ):
        connection.execute(table)
    found: dict[str, Sums] = {}
    rows = connection.execute(
        "SELECT id, ifnull(camera_id, ''), descriptor.data, checksum.descriptor FROM record "
        "JOIN descriptor ON descriptor.record_id = id JOIN checksum ON checksum.record_id = id"
    )
    for record_id, camera_id, data, expected in rows:
        if checksum(record_id, data) != expected:
            log.warning("the descriptor of record %d is damaged and left out of its camera's sums", record_id)
            continue
        sums = Sums.of(np.frombuffer(data, dtype="<f4")[np.newaxis])
        found[camera_id] = found[camera_id] + sums if camera_id in found else sums
    for camera_id, sums in found.items():
        data = sums.to_bytes()
        connection.execute(
            "INSERT INTO camera VALUES ('default', ?, 'enrolled', ?, ?, ?)",
            (camera_id, sums.count, data, checksum(sums.count, data)),
        )


STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {
    1: _spell_enroll,
    2: _add_checksums,
    3: _add_camera_statistics,
    4: float16_step.use_copies,
    5: filter_step.add_filters,
    6: digest_step.add_digests,
}
"""From each version to the next. A step stays as it was released: it spells out the tables that it makes."""
PREPARATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {4: float16_step.copy_descriptors}
"""What goes before a step in transactions of its own, and can be gone on with after a kill."""
