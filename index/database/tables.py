"""Tables that came after the first schema: they are made at the first opening by software that knows them."""

from __future__ import annotations

import sqlite3


class Tables:
    """Tables, with their indexes and triggers.

    Args:
        statements: that make them, each `CREATE ... IF NOT EXISTS name`.
    """

    def __init__(self, *statements: str) -> None:
        self._statements = statements
        self._names = [statement.split()[5] for statement in statements]

    def create(self, connection: sqlite3.Connection) -> None:
        """Make what is not there, inside the caller's transaction if there is one."""
        for statement in self._statements:
            connection.execute(statement)

    def are_in(self, connection: sqlite3.Connection) -> bool:
        """Whether all of it is there."""
        marks = ", ".join("?" * len(self._names))
        query = f"SELECT count(*) FROM sqlite_schema WHERE name IN ({marks})"  # noqa: S608
        return bool(connection.execute(query, self._names).fetchone()[0] == len(self._names))
