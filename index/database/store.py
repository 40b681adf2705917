"""The database of a gallery: records, images and embeddings in SQLite."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from index.database.checksums import checked, digest
from index.database.conditions import conditions
from index.database.connections import DATABASE, Connections, transaction
from index.database.failures import failures_named
from index.database.insertion import Inserted, Insertion
from index.database.moment import Moment
from index.database.quota import require_bytes, require_quota, used_bytes
from index.database.removal import Removal
from index.database.room import OVERHEAD, Room
from index.database.rows import SELECT, read_record
from index.database.setting import write_setting
from index.database.versions import read_version, write_version
from index.errors import (
    GalleryDamagedError,
    GalleryFullError,
    UnknownImageError,
)
from index.files.acknowledged import Acknowledged
from index.files.space import Space
from index.filter import Filter
from index.record import Enrollment, GalleryHeader, Page, Record
from index.validation import storable

log = logging.getLogger(__name__)

LAST_ID = 2**63 - 1
SELECT_IMAGE = (
    SELECT.replace(" FROM ", ", data, checksum.image FROM ") + " LEFT JOIN image ON image.record_id = id"
)
SELECT_SAME = (
    "SELECT image_id FROM image_digest JOIN record ON record.id = record_id "
    "WHERE digest = ? ORDER BY record_id LIMIT ?"
)


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
            self._room = Room(self._writer, self._database, self.space)
            self._insertion = Insertion(self._writer, self.changes, self.cameras, header)
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
        with self.failures_named():
            self._room.make(self._insertion.size(enrollments))
            with transaction(self._writer):
                inserted = self._insertion.insert(enrollments, now)
                require_quota(self._writer, self._images + len(inserted.ids))
        self._images += len(inserted.ids)
        self._acknowledged.note(inserted.sequence, self._images)
        return inserted

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
            with self._room.few_pages():
                try:
                    return self._remove(condition, values, 1)
                except GalleryFullError:
                    self._room.fold_log()
                    return self._remove(condition, values, 1)

    def amend(self, image_id: str, amendment: Amendment, was: Record | None) -> Amended:
        """Commit new values of a record.

        Raises UnknownImageError, ChangedImageError, DamagedImageError, QuotaReachedError or GalleryFullError.
        """
        _check_known(image_id)
        self._make_room(2 * 16 * self._header.descriptor_dim)
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
        with self.noting():
            for name, value in values.items():
                write_setting(self._writer, name, value)

    def normalisation(self) -> Normalisation:
        """The version in force."""
        with self.failures_named():
            return read_version(self._writer)

    def renew(self, estimates: Estimates | None) -> Normalisation:
        """Commit a new version of the normalisation, None for descriptors as they are."""
        size = 0 if estimates is None else 8 * self._header.descriptor_dim * (1 + len(estimates.cameras))
        self._make_room(size)
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
        self._make_room(size)
        with self._within_quota():
            yield self._writer

    @contextmanager
    def noting(self) -> Iterator[sqlite3.Connection]:
        """The writing connection, in a transaction that adds a few bytes or none. Raises GalleryFullError."""
        self._make_room(0)
        with self.freeing() as writer:
            yield writer

    @contextmanager
    def freeing(self) -> Iterator[sqlite3.Connection]:
        """The writing connection, in a transaction that removes something, also where there is no room."""
        with self.failures_named(), transaction(self._writer):
            yield self._writer

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

    def empty_log(self) -> bool:
        """See `Room.empty_log`."""
        with self.failures_named():
            return self._room.empty_log()

    def write_anew(self, *, all_of_it: bool) -> None:
        """See `Room.write_anew`. Raises GalleryFullError."""
        with self.failures_named():
            self._room.write_anew(all_of_it=all_of_it)

    def _make_room(self, size: int) -> None:
        with self.failures_named():
            self._room.make(size + OVERHEAD)

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

    def _one(self, query: str, image_id: str) -> tuple[Any, ...]:
        _check_known(image_id)
        rows = self._read(f"{query} WHERE image_id = ?", image_id)
        if not rows:
            raise UnknownImageError(image_id)
        return rows[0]

    def _read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.failures_named(), self._connections.reader() as connection:
            return connection.execute(query, values).fetchall()


def _check_known(image_id: str) -> None:
    if not storable(image_id):
        raise UnknownImageError(image_id)
