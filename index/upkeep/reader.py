"""Records and images of a gallery that a service may have open, read beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from index.database.checksums import checked
from index.database.rows import SELECT, read_record
from index.errors import UnknownImageError
from index.record import GalleryHeader, Page, Record
from index.upkeep.frozen import frozen

_IMAGE = "SELECT data, checksum.image FROM checksum JOIN image USING (record_id) WHERE record_id = ?"


class GalleryReader:
    """Each method reads the gallery as it is then; it holds nothing open in between.

    Every method raises FileNotFoundError and GalleryError as `index.upkeep.frozen.frozen`, and
    DamagedImageError.

    Args:
        folder: of the gallery.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def count(self) -> int:
        """How many images are enrolled."""
        with frozen(self._folder) as (connection, _):
            return int(connection.execute("SELECT count(*) FROM record").fetchone()[0])

    def page(self, after: int | None = None, limit: int = 100) -> Page:
        """As `Gallery.page`, of everything."""
        with frozen(self._folder) as (connection, header):
            rows = connection.execute(
                f"{SELECT} WHERE id > ? ORDER BY id LIMIT ?", (after or 0, limit + 1)
            ).fetchall()
            records = tuple(read_record(row, header.fingerprint) for row in rows[:limit])
            return Page(records, rows[limit - 1][0] if len(rows) > limit else None)

    def get(self, image_id: str) -> Record:
        """The record of an image. Raises UnknownImageError."""
        with self._one(image_id) as (_, header, row):
            return read_record(row, header.fingerprint)

    def image(self, image_id: str) -> tuple[bytes, str]:
        """An image file's bytes and its media type. Raises UnknownImageError."""
        with self._one(image_id) as (connection, header, row):
            record = read_record(row, header.fingerprint)
            stored = connection.execute(_IMAGE, row[:1]).fetchone() or (None, None)
            return checked("image", image_id, row[0], *stored), record.media_type

    @contextmanager
    def _one(self, image_id: str) -> Iterator[tuple[sqlite3.Connection, GalleryHeader, tuple[Any, ...]]]:
        with frozen(self._folder) as (connection, header):
            row = connection.execute(f"{SELECT} WHERE image_id = ?", (image_id,)).fetchone()
            if row is None:
                raise UnknownImageError(image_id)
            yield connection, header, row
