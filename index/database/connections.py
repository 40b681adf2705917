"""The SQLite connections of one gallery: one that writes, and as many readers as are reading."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import GalleryClosedError
from index.files.private import create_file

DATABASE = "gallery.sqlite"
IDLE_READERS = 8


class Connections:
    """One writer, for which the caller keeps a lock, and a pool of readers for any thread.

    Readers are pooled and not kept by thread: a server's threads come and go.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._returned = threading.Condition()
        self._idle: list[sqlite3.Connection] = []
        self._reading = 0
        self._closed = False
        create_file(database)
        self.writer = self._connect()

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees what is committed. Raises GalleryClosedError after `close`."""
        with self._returned:
            if self._closed:
                raise GalleryClosedError
            connection = self._idle.pop() if self._idle else None
            self._reading += 1
        try:
            if connection is None:
                connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
            yield connection
        finally:
            with self._returned:
                self._reading -= 1
                if connection is not None:
                    if len(self._idle) >= IDLE_READERS:
                        connection.close()
                    else:
                        self._idle.append(connection)
                self._returned.notify_all()

    def close(self) -> None:
        """Wait for the readers in use, then close every connection."""
        with self._returned:
            self._closed = True
            self._returned.wait_for(lambda: not self._reading)
            while self._idle:
                self._idle.pop().close()
        # The writer goes last: the last connection to close folds the log into the database.
        self.writer.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            # What is deleted is overwritten, however SQLite was built.
            connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block is committed, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
