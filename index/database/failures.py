"""What SQLite's errors mean for a gallery."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import GalleryDamagedError
from index.files.space import Space

DAMAGE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_ERROR)
_PRIMARY = 0xFF  # of SQLite's extended error codes


@contextmanager
def failures_named(database: Path, space: Space | None = None) -> Iterator[None]:
    """Raise GalleryFullError and GalleryDamagedError for what SQLite says of the disk and the file.

    Without a `space` a full disk looks like any other failure.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY
        # Shared memory and quotas fail as input and output do.
        is_full = code == sqlite3.SQLITE_FULL or (
            code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
            and space is not None
            and space.fault() is not None
        )
        if space is not None and is_full:
            raise space.full() from error
        # Our statements are right: what they ask for is not there. Text that is no text has no code.
        if code in DAMAGE or "decode to UTF-8" in str(error):
            raise GalleryDamagedError(database, str(error)) from error
        raise
    except UnicodeDecodeError as error:  # SQLite's message holds a damaged name
        raise GalleryDamagedError(database, str(error)) from error


@contextmanager
def misread_named(database: Path) -> Iterator[None]:
    """Raise GalleryDamagedError for values that are of another type than their columns.

    SQLite holds those types, but for pages of other tables that a disk has put in their place. Around what
    reads a whole database, and nothing of a caller's.
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise GalleryDamagedError(database, f"a page holds what is not its own: {error}") from error
