"""What was set of a gallery and is kept in its database: whole numbers by name."""

from __future__ import annotations

import sqlite3


def read_setting(connection: sqlite3.Connection, name: str) -> int | None:
    """The value under this name; None where none was set."""
    row = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def write_setting(writer: sqlite3.Connection, name: str, value: int | None) -> None:
    """Write a value, or that there is none, inside the caller's transaction."""
    if value is None:
        writer.execute("DELETE FROM setting WHERE name = ?", (name,))
    else:
        writer.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))
