"""Room for what is written: of the disk, of the database's free pages, and of its write-ahead log."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from index.files.space import Space

OVERHEAD = 16384  # bytes of pages begun, and of the records themselves


class Room:
    """Room for one database. What SQLite raises passes through.

    Args:
        writer: its writing connection.
        database: its file.
        space: on its disk.
    """

    def __init__(self, writer: sqlite3.Connection, database: Path, space: Space) -> None:
        self._writer = writer
        self._database = database
        self._space = space

    def make(self, size: int) -> None:
        """Raise GalleryFullError unless so many bytes more leave enough free."""
        # Once in the log, once in the database, which takes in what else is in the log at any time.
        log = self._database.with_name(f"{self._database.name}-wal")
        pending = log.stat().st_size if log.exists() else 0
        if not self._space.lacks(2 * size + pending):
            return
        if pending:
            self.fold_log()
        [pages] = self._writer.execute("PRAGMA freelist_count").fetchone()
        [page_size] = self._writer.execute("PRAGMA page_size").fetchone()
        self._space.check(2 * size, reusable=min(size, pages * page_size))

    def fold_log(self) -> None:
        """Move what is in the write-ahead log into the database, and give the log's bytes back."""
        with suppress(sqlite3.OperationalError):  # no room for it; the log stays
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def empty_log(self) -> bool:
        """Move the write-ahead log into the database and empty it; False where a reader needs it still."""
        [busy] = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[:1]
        return not busy

    def write_anew(self, *, all_of_it: bool) -> None:
        """Write the database anew, or its indexes alone, without what rows have left that are gone.

        Raises GalleryFullError where there is no room for it, once beside the database and once in the log.
        """
        if all_of_it:
            self._space.check(2 * self._database.stat().st_size)
        with _temporary_files_in(self._database.parent):
            self._writer.execute("VACUUM" if all_of_it else "REINDEX")

    @contextmanager
    def few_pages(self) -> Iterator[None]:
        """Write what lists the free pages alone, and do not overwrite each of them with zeros.

        So a deletion writes a few pages however large the image is. `index.local.erasure` sees to them later.
        """
        [before] = self._writer.execute("PRAGMA secure_delete").fetchone()
        self._writer.execute("PRAGMA secure_delete = FAST")
        try:
            yield
        finally:
            self._writer.execute(f"PRAGMA secure_delete = {before}")


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
