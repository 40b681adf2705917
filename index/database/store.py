"""The database of a gallery: records, images and embeddings in SQLite."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.amendment import Amendment
from index.cameras.estimation import Estimates
from index.cameras.normalisation import Normalisation
from index.database import schema
from index.database.amending import Amended, amend
from index.database.cameras import Cameras
from index.database.changes import Changes
from index.database.checksums import INSERT_CHECKSUMS, checked, checksum, digest, record_checksum
from index.database.conditions import conditions
from index.database.connections import DATABASE, Connections, transaction
from index.database.descriptors import ITEM_BYTES, as_stored, pack
from index.database.failures import failures_named
from index.database.frames import SELECT_FRAME, keep
from index.database.frames import digest_of as digest_of_frame
from index.database.moment import Moment
from index.database.quota import require_bytes, require_quota, used_bytes
from index.database.removal import Removal
from index.database.rows import INSERT, INSERT_TAG, SELECT, read_record, to_record, to_row
from index.database.setting import write_setting
from index.database.verdicts import decide, stored_digest, undo
from index.database.versions import read_version, write_version
from index.errors import (
    DamagedImageError,
    DuplicateImageError,
    GalleryDamagedError,
    GalleryFullError,
    UnknownFrameError,
    UnknownImageError,
    UnknownVerdictError,
)
from index.files.acknowledged import Acknowledged
from index.files.space import Space
from index.filter import Filter
from index.frames import Frame
from index.record import Enrollment, GalleryHeader, Page, Record
from index.validation import storable
from index.verdicts import Decision, Verdict, digest_of, size_of

log = logging.getLogger(__name__)

OVERHEAD = 16384  # bytes of pages begun, and of the records themselves
LAST_ID = 2**63 - 1
SELECT_IMAGE = (
    SELECT.replace(" FROM ", ", data, checksum.image FROM ") + " LEFT JOIN image ON image.record_id = id"
)
SELECT_SAME = (
    "SELECT image_id FROM image_digest JOIN record ON record.id = record_id "
    "WHERE digest = ? ORDER BY record_id LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Inserted:
    """What enrollments became: ids [n] and records in the order given, and the sequence after them."""

    ids: NDArray[np.int64]
    records: list[Record]
    sequence: int


class Store:
    """The database of one gallery.

    Reading may be done from any thread at any time, and sees what is committed. `insert`, `delete`
    and `changes` use the one writing connection: the caller keeps a lock for them. sqlite3.Error
    passes through where the disk fails; nothing is changed then.

    Opening raises what `schema.prepare` raises, GalleryFullError and GalleryDamagedError.
    """

    def __init__(self, folder: Path, header: GalleryHeader, supersedes: Sequence[str] = ()) -> None:
        self._header = header
        self._database = folder / DATABASE
        self.space = Space(folder)
        self._damage: str | None = None
        with self.failures_named():
            self._connections = Connections(folder / DATABASE)
            self._writer = self._connections.writer
            self.changes = Changes(self._writer)
            self.cameras = Cameras(self._writer, header.descriptor_dim)
            self._removal = Removal(self._writer, self.changes, self.cameras)
            try:
                schema.prepare(self._writer, folder / DATABASE, header, supersedes)
                self._writer.execute("PRAGMA journal_mode = WAL")
                last = self.changes.last()
                self._images = self.changes.count()
                self._acknowledged = Acknowledged(folder)
            except BaseException:
                self._connections.close()
                raise
        self._acknowledged.note(last, self._images)
        self.space.hold()

    @property
    def database(self) -> Path:
        """Its file."""
        return self._database

    def close(self) -> None:
        """Wait for readers and close; reading afterwards raises GalleryClosedError."""
        self._connections.close()
        self._acknowledged.close()

    def insert(self, enrollments: Sequence[Enrollment], now: datetime) -> Inserted:
        """Commit checked enrollments, all or none.

        Raises DuplicateImageError, QuotaReachedError or GalleryFullError.
        """
        cameras = len({enrollment.camera_id for enrollment in enrollments})
        self._make_room(sum(map(_size, enrollments)) + cameras * 16 * self._header.descriptor_dim)
        ids: list[int] = []
        records: list[Record] = []
        sequence = 0
        with self.failures_named(), transaction(self._writer):
            for enrollment in enrollments:
                row = to_row(enrollment, now)
                ids.append(self._insert_record(row))
                self._writer.executemany(INSERT_TAG, ((tag, ids[-1]) for tag in enrollment.tags))
                self._insert_blobs(ids[-1], enrollment, row)
                records.append(to_record((ids[-1], *row), self._header.fingerprint))
                sequence = self.changes.enrolled(ids[-1])
            self.cameras.enrolled(
                [enrollment.camera_id for enrollment in enrollments],
                list(as_stored(np.stack([enrollment.descriptor for enrollment in enrollments]))),
            )
            require_quota(self._writer, self._images + len(ids))
        self._images += len(ids)
        self._acknowledged.note(sequence, self._images)
        return Inserted(np.array(ids, dtype=np.int64), records, sequence)

    def delete(self, image_id: str) -> tuple[NDArray[np.int64], int]:
        """Commit the removal; the id `[1]` removed and the sequence after it.

        Raises UnknownImageError, and GalleryFullError where not even what is held in reserve is room enough.
        """
        _check_known(image_id)
        ids, sequence = self.delete_some("image_id = ?", [image_id], 1)
        if not len(ids):
            raise UnknownImageError(image_id)
        return ids, sequence

    def delete_some(self, condition: str, values: Sequence[Any], most: int) -> tuple[NDArray[np.int64], int]:
        """Commit the removal of records that meet a condition; the ids `[n]` removed and the sequence after.

        Raises GalleryFullError where not even what is held in reserve is room enough.
        """
        try:
            return self._remove(condition, values, most)
        except GalleryFullError:
            # The reserve is free now. Folding the log may take it, so it comes last.
            with self._few_pages():
                try:
                    return self._remove(condition, values, 1)
                except GalleryFullError:
                    self._fold_log()
                    return self._remove(condition, values, 1)

    def amend(self, image_id: str, amendment: Amendment, was: Record | None) -> Amended:
        """Commit new values of a record.

        Raises UnknownImageError, ChangedImageError, DamagedImageError, QuotaReachedError or GalleryFullError.
        """
        _check_known(image_id)
        self._make_room(2 * 16 * self._header.descriptor_dim + OVERHEAD)
        with self._within_quota():
            done = amend(
                self._writer,
                self.changes,
                self.cameras,
                image_id,
                amendment,
                self._header.fingerprint,
                was,
            )
        if done.sequence:
            self._acknowledged.note(done.sequence, self._images)
        return done

    def set(self, name: str, value: int | None) -> None:
        """Commit a setting of the gallery, None for none."""
        self.set_some({name: value})

    def set_some(self, values: Mapping[str, int | None]) -> None:
        """Commit settings of the gallery together, None for none."""
        self._make_room(OVERHEAD)
        with self.failures_named(), transaction(self._writer):
            for name, value in values.items():
                write_setting(self._writer, name, value)

    def calibrate(self, camera_id: str, descriptor: NDArray[np.float32], digest: bytes) -> bool:
        """Commit an image of a calibration; False where it is counted already.

        Raises QuotaReachedError or GalleryFullError.
        """
        self._make_room(16 * self._header.descriptor_dim + OVERHEAD)
        with self._within_quota():
            return self.cameras.calibrate(camera_id, descriptor, digest)

    def forget_calibration(self, camera_id: str) -> bool:
        """Commit the removal of a camera's calibration; False where it has none."""
        with self.failures_named(), transaction(self._writer):
            return self.cameras.forget_calibration(camera_id)

    def decide(self, decision: Decision) -> Verdict:
        """Commit a verdict.

        Raises UnknownImageError, TooManyVerdictsError, QuotaReachedError and GalleryFullError.
        """
        self._make_room(size_of(decision) + OVERHEAD)
        with self._within_quota():
            return decide(self._writer, decision)

    def undo_verdict(self, probe: str, image_id: str) -> bool:
        """Commit the removal of a verdict; False where there is none."""
        with self.failures_named(), transaction(self._writer):
            return undo(self._writer, probe, image_id)

    def probe(self, probe: str) -> tuple[bytes, str]:
        """The file of a probe with verdicts, and its media type. Raises UnknownVerdictError."""
        rows = self._read("SELECT data, media_type FROM probe WHERE digest = ?", stored_digest(probe))
        if not rows:
            raise UnknownVerdictError(probe, None)
        data, media_type = rows[0]
        with self.failures_named():
            if digest_of(data) != probe:
                raise GalleryDamagedError(self._database, f"the file of probe {probe} is not as it was kept")
        return data, media_type

    def keep_frame(self, image_ids: Sequence[str], frame: Frame) -> None:
        """Commit the frame of these images. Raises UnknownImageError, QuotaReachedError, GalleryFullError."""
        self._make_room(len(frame.data) + OVERHEAD)
        with self._within_quota():
            keep(self._writer, image_ids, frame)

    def frame(self, image_id: str) -> Frame:
        """The frame of an image. Raises UnknownFrameError and DamagedImageError."""
        rows = self._read(SELECT_FRAME, image_id)
        if not rows:
            raise UnknownFrameError(image_id)
        data, media_type, digest = rows[0]
        if digest_of_frame(data) != digest:
            raise DamagedImageError(image_id, "frame")
        return Frame(data, media_type)

    def normalisation(self) -> Normalisation:
        """The version in force."""
        with self.failures_named():
            return read_version(self._writer)

    def renew(self, estimates: Estimates | None) -> Normalisation:
        """Commit a new version of the normalisation, None for descriptors as they are."""
        size = 0 if estimates is None else 8 * self._header.descriptor_dim * (1 + len(estimates.cameras))
        self._make_room(size + OVERHEAD)
        with self.failures_named():
            return write_version(self._writer, estimates)

    @contextmanager
    def _within_quota(self) -> Iterator[None]:
        """A transaction that adds bytes only as far as the quota has room for them, but no image."""
        with self.failures_named(), transaction(self._writer):
            before = used_bytes(self._writer)
            yield
            require_bytes(self._writer, before)

    @contextmanager
    def adding(self, size: int) -> Iterator[sqlite3.Connection]:
        """The writing connection, in a transaction that adds so many bytes but no image.

        Raises QuotaReachedError and GalleryFullError.
        """
        self._make_room(size + OVERHEAD)
        with self._within_quota():
            yield self._writer

    @contextmanager
    def noting(self) -> Iterator[sqlite3.Connection]:
        """The writing connection, in a transaction that adds a few bytes or none. Raises GalleryFullError."""
        self._make_room(OVERHEAD)
        with self.failures_named(), transaction(self._writer):
            yield self._writer

    @contextmanager
    def _few_pages(self) -> Iterator[None]:
        """Write what lists the free pages alone, and do not overwrite each of them with zeros.

        So a deletion writes a few pages however large the image is. `index.local.erasure` sees to them later.
        """
        [before] = self._writer.execute("PRAGMA secure_delete").fetchone()
        self._writer.execute("PRAGMA secure_delete = FAST")
        try:
            yield
        finally:
            self._writer.execute(f"PRAGMA secure_delete = {before}")

    def fault(self) -> str | None:
        """What keeps it from taking or giving images, with the remedy; None where nothing does."""
        return self._damage or self.space.fault()

    @contextmanager
    def failures_named(self) -> Iterator[None]:
        """Raise GalleryFullError and GalleryDamagedError for what SQLite says; `fault` then tells damage."""
        try:
            with failures_named(self._database, self.space):
                yield
        except GalleryDamagedError as error:
            if self._damage is None:
                log.error("%s", error)
            self._damage = str(error)
            raise

    def _remove(self, condition: str, values: Sequence[Any], most: int) -> tuple[NDArray[np.int64], int]:
        with self.failures_named(), transaction(self._writer):
            rows = self._writer.execute(f"{SELECT} WHERE {condition} LIMIT ?", (*values, most)).fetchall()
            if not rows:
                return np.empty(0, np.int64), 0
            sequence = self._removal.remove(rows)
        self._images -= len(rows)
        self._acknowledged.note(sequence, self._images)
        return np.array([row[0] for row in rows], np.int64), sequence

    def record(self, image_id: str) -> Record:
        """One record. Raises UnknownImageError."""
        return read_record(self._one(SELECT, image_id), self._header.fingerprint)

    def image(self, image_id: str) -> tuple[bytes, str]:
        """The image file's bytes and its media type. Raises UnknownImageError."""
        row = self._one(SELECT_IMAGE, image_id)
        # The media type is the record's.
        record = read_record(row[:-2], self._header.fingerprint)
        return checked("image", record.image_id, row[0], *row[-2:]), record.media_type

    def same_image(self, data: bytes, limit: int) -> list[str]:
        """Ids of images with these very bytes, in order of enrollment."""
        return [row[0] for row in self._read(SELECT_SAME, digest(data), limit)]

    def page(self, after: int | None, limit: int, where: Filter) -> Page:
        """Up to `limit` records that a filter lets through, in order of enrollment, after the cursor."""
        condition, values = conditions(where)
        rows = self._read(
            f"{SELECT} WHERE id > ? AND {condition} ORDER BY id LIMIT ?",
            min(after or 0, LAST_ID),
            *values,
            limit + 1,
        )
        shown = rows[:limit]
        records = tuple(read_record(row, self._header.fingerprint) for row in shown)
        return Page(records, shown[-1][0] if len(rows) > limit else None)

    def _make_room(self, size: int) -> None:
        """Raise GalleryFullError unless enrollments of so many bytes leave enough free."""
        # Once in the log, once in the database, which takes in what else is in the log at any time.
        log = self._database.with_name(f"{DATABASE}-wal")
        pending = log.stat().st_size if log.exists() else 0
        if not self.space.lacks(2 * size + pending):
            return
        if pending:
            self._fold_log()
        with self.failures_named():
            [pages] = self._writer.execute("PRAGMA freelist_count").fetchone()
            [page_size] = self._writer.execute("PRAGMA page_size").fetchone()
        self.space.check(2 * size, reusable=min(size, pages * page_size))

    def empty_log(self) -> bool:
        """Move the write-ahead log into the database and empty it; False where a reader needs it still."""
        with self.failures_named():
            [busy] = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[:1]
        return not busy

    def write_anew(self, *, all_of_it: bool) -> None:
        """Write the database anew, or its indexes alone, without what rows have left that are gone.

        Raises GalleryFullError where there is no room for it, once beside the database and once in the log.
        """
        if all_of_it:
            self.space.check(2 * self._database.stat().st_size)
        with self.failures_named(), _temporary_files_in(self._database.parent):
            self._writer.execute("VACUUM" if all_of_it else "REINDEX")

    def _fold_log(self) -> None:
        """Move what is in the write-ahead log into the database, and give the log's bytes back."""
        with suppress(sqlite3.OperationalError):  # no room for it; the log stays
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def moment(self) -> Iterator[Moment]:
        """What is committed now, however long it is looked at and whatever changes meanwhile."""
        with self.reading_at_once() as connection:
            yield Moment(connection, self._header)

    @contextmanager
    def reading_at_once(self) -> Iterator[sqlite3.Connection]:
        """A connection for statements of one's own that all see what is committed now."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for statements of one's own."""
        with self.failures_named(), self._connections.reader() as connection:
            yield connection

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

    def _one(self, query: str, image_id: str) -> tuple[Any, ...]:
        _check_known(image_id)
        rows = self._read(f"{query} WHERE image_id = ?", image_id)
        if not rows:
            raise UnknownImageError(image_id)
        return rows[0]

    def _read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.failures_named(), self._connections.reader() as connection:
            return connection.execute(query, values).fetchall()


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Have SQLite make its temporary files, which it unlinks at once, here: they hold images."""
    before = os.environ.get("SQLITE_TMPDIR")
    os.environ["SQLITE_TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SQLITE_TMPDIR"]
        else:
            os.environ["SQLITE_TMPDIR"] = before


def _size(enrollment: Enrollment) -> int:
    """Bytes that it takes, and what SQLite adds."""
    strips = 0 if enrollment.strips is None else enrollment.strips.nbytes
    return len(enrollment.image) + ITEM_BYTES * enrollment.descriptor.size + strips + OVERHEAD


def _check_known(image_id: str) -> None:
    if not storable(image_id):
        raise UnknownImageError(image_id)
