"""A gallery read from end to end, and every fault in it; nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from index.database.checksums import checked
from index.database.connections import DATABASE
from index.database.derived import faults_of_cameras, faults_of_normalisation, is_digest
from index.database.migration import SCHEMA_VERSION
from index.database.rows import SELECT, read_record
from index.database.schema import read_header
from index.database.verdicts import damaged_probes
from index.database.watches import damaged_watches
from index.errors import DamagedImageError, GalleryError
from index.files.lock import lock_to_read
from index.local.loss import check_loss, read_only
from index.record import GalleryHeader
from index.vectors.snapshot import SNAPSHOT, SnapshotError, SnapshotFolder

PARTS = ("descriptor", "strips", "image")
REBUILD = "`lka-reid gallery rebuild` mends that"
FAULTS = 100  # of SQLite's own that are reported
_UNREADABLE = (GalleryError, sqlite3.Error, TypeError, ValueError, OverflowError)
"""What reading a damaged database raises; values of another type than their columns among it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault: what it is, and the number of the record that it is of, if it is of one alone.

    A record that is itself gone has a number too, where something of it is left.
    """

    text: str
    record_id: int | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """How many images were read, and what was found, nothing where all is well."""

    images: int
    findings: list[Finding]


def verify(folder: Path, on_image: Callable[[int, int], None] = lambda _done, _total: None) -> Verified:
    """Read all of the gallery; `on_image` is called with the images that are done and images in all.

    Raises:
        FileNotFoundError: there is no gallery.
        GalleryLockedError: it is in use.
    """
    database = folder / DATABASE
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no gallery in {folder}")
    unlock = lock_to_read(folder)
    try:
        findings = list(_of_losses(folder))
        if not database.exists() or not database.stat().st_size:
            if findings:
                return Verified(0, findings)
            raise FileNotFoundError(f"there is no gallery in {folder}")
        with closing(read_only(database)) as connection:
            findings += _of_the_file(connection, folder)
            images, damaged = 0, list[Finding]()
            if _has_checksums(connection, folder):
                images, damaged = _of_the_images(connection, on_image)
                if not damaged:
                    damaged += _of_the_cameras(connection, read_header(connection, folder))
                damaged += _of_the_probes(connection)
        return Verified(images, [*findings, *damaged, *_of_the_snapshot(folder)])
    finally:
        unlock()


def _of_losses(folder: Path) -> Iterator[Finding]:
    try:
        check_loss(folder)
    except GalleryError as error:
        yield Finding(str(error))


def _has_checksums(connection: sqlite3.Connection, folder: Path) -> bool:
    try:
        read_header(connection, folder)
        return bool(connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION)
    except _UNREADABLE:
        return False


def _of_the_file(connection: sqlite3.Connection, folder: Path) -> Iterator[Finding]:
    try:
        read_header(connection, folder)
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version < SCHEMA_VERSION:
            yield Finding(f"{DATABASE}: schema version {version} has no checksums; a start brings it over")
        for (text,) in connection.execute(f"PRAGMA integrity_check({FAULTS})"):
            if text != "ok":
                yield Finding(f"{DATABASE}: {text}")
        for table, record_id, *_ in connection.execute("PRAGMA foreign_key_check"):
            of = record_id if table in (*PARTS, "checksum", "image_digest") else None
            yield Finding(f"{DATABASE}: row {record_id} of {table} belongs to no record", of)
    except _UNREADABLE as error:
        yield Finding(f"{DATABASE}: {error}")


def _of_the_images(
    connection: sqlite3.Connection, on_image: Callable[[int, int], None]
) -> tuple[int, list[Finding]]:
    findings: list[Finding] = []
    try:
        ids = [row[0] for row in connection.execute("SELECT id FROM record NOT INDEXED ORDER BY id")]
    except _UNREADABLE as error:
        return 0, [Finding(f"{DATABASE}: the records cannot be listed: {error}")]
    for done, record_id in enumerate(ids, start=1):
        findings += _of_one_image(connection, record_id)
        on_image(done, len(ids))
    return len(ids), findings


def _of_one_image(connection: sqlite3.Connection, record_id: int) -> Iterator[Finding]:
    image_id = f"record {record_id}"
    try:
        row = connection.execute(f"{SELECT} WHERE id = ?", (record_id,)).fetchone()
        image_id = str(row[1])
        record = read_record(row, "")
        found = connection.execute("SELECT tag FROM tag WHERE record_id = ?", (record_id,))
        if {tag for (tag,) in found} != set(record.tags):
            yield Finding(f"image_id {image_id!r}: filters find it by other tags than it has; {REBUILD}")
    except DamagedImageError as error:
        yield Finding(str(error), record_id)
    except _UNREADABLE as error:
        yield Finding(f"image_id {image_id!r}: its record cannot be read: {error}", record_id)
    for part in PARTS:
        query = (
            f"SELECT data, checksum.{part} FROM checksum "  # noqa: S608 - our own names
            f"LEFT JOIN {part} ON {part}.record_id = checksum.record_id WHERE checksum.record_id = ?"
        )
        try:
            data, expected = connection.execute(query, (record_id,)).fetchone() or (None, 0)
            if part != "strips" or data is not None or expected is not None:
                sound = checked(part, image_id, record_id, data, expected)
                if part == "image" and not is_digest(connection, record_id, sound):
                    yield Finding(f"image_id {image_id!r}: its digest is not that of its image; {REBUILD}")
        except DamagedImageError as error:
            yield Finding(str(error), record_id)
        except _UNREADABLE as error:
            yield Finding(f"image_id {image_id!r}: its {part} cannot be read: {error}", record_id)


def _of_the_cameras(connection: sqlite3.Connection, header: GalleryHeader) -> Iterator[Finding]:
    try:
        for text in faults_of_cameras(connection, header.descriptor_dim):
            yield Finding(f"{text}; {REBUILD}")
        for text in faults_of_normalisation(connection):
            yield Finding(f"{text}; {REBUILD}")
    except _UNREADABLE as error:
        yield Finding(f"{DATABASE}: what is known of cameras cannot be read: {error}")


def _of_the_probes(connection: sqlite3.Connection) -> Iterator[Finding]:
    try:
        for probe in damaged_probes(connection):
            yield Finding(f"probe {probe}: its file is not as it was kept; take the verdicts on it back")
        for watch_id in damaged_watches(connection):
            yield Finding(f"watch {watch_id}: its file is not as it was kept; remove the watch")
    except _UNREADABLE as error:
        yield Finding(f"{DATABASE}: the probes with verdicts, or the watches, cannot be read: {error}")


def _of_the_snapshot(folder: Path) -> Iterator[Finding]:
    if not (folder / SNAPSHOT).is_dir():
        return
    snapshots = SnapshotFolder(folder / SNAPSHOT)
    try:
        manifest = snapshots.manifest()
        if manifest is not None:
            snapshots.content(manifest)
    except SnapshotError as error:
        yield Finding(f"{error}; the next start builds the index from the database")
