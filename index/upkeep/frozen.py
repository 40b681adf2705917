"""A gallery's database as it is at one moment, read beside whoever has it open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from index.database.connections import DATABASE
from index.database.failures import failures_named
from index.database.migration import SCHEMA_VERSION
from index.database.schema import read_header
from index.errors import GalleryLockedError, GallerySchemaError
from index.files.lock import lock_to_read
from index.local.loss import check_loss, read_only
from index.record import GalleryHeader


@contextmanager
def frozen(folder: Path, *, any_version: bool = False) -> Iterator[tuple[sqlite3.Connection, GalleryHeader]]:
    """A read transaction on the database in this folder, and its header.

    Where a service has the gallery open it goes on; its write-ahead log grows until the end. Where nobody
    has, nobody is let in until then.

    Args:
        folder: of the gallery.
        any_version: whether its schema may be of an earlier version.

    Raises:
        FileNotFoundError: there is no gallery.
        GalleryError: it cannot be opened, has lost changes, or is of an earlier version.
    """
    database = folder / DATABASE
    if not database.is_file() or not database.stat().st_size:
        raise FileNotFoundError(f"there is no gallery in {folder}")
    with ExitStack() as leaving:
        try:
            leaving.callback(lock_to_read(folder))
            check_loss(folder)
            connection = read_only(database)
        except GalleryLockedError:
            # Never as a file that does not change: it does.
            connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)
        leaving.enter_context(closing(connection))
        leaving.enter_context(failures_named(database))
        connection.isolation_level = None
        connection.execute("BEGIN")
        header = read_header(connection, folder)
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if version < SCHEMA_VERSION and not any_version:
            raise GallerySchemaError(
                folder, f"its schema version is {version}; start the service once, which brings it over"
            )
        yield connection, header
