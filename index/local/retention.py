"""The retention of a gallery on this machine: its days in the database, and deletions as by a filter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from index.database.rows import to_microseconds
from index.database.setting import read_setting
from index.local.mirror import Mirror
from index.retention import RETENTION

EXPIRED: Final = "(record.captured_at < ? OR record.enrolled_at < ?)"

Delete = Callable[[str, list[Any]], int]
"""Deletes the records that meet a condition with these values; how many there were."""


class LocalRetention:
    """See `RetentionHome`: the database of a gallery on this machine.

    Args:
        mirror: the database and the index.
        delete: as a deletion by a filter.
    """

    def __init__(self, mirror: Mirror, delete: Delete) -> None:
        self._mirror = mirror
        self._delete = delete

    def days(self) -> int | None:
        """What is set."""
        with self._mirror.store.reading() as connection:
            return read_setting(connection, RETENTION)

    def keep_days(self, days: int | None) -> None:
        """Set it, durably. Raises GalleryFullError."""
        with self._mirror.settled():
            self._mirror.store.set(RETENTION, days)

    def count_before(self, moment: datetime) -> int:
        """How many images were taken or enrolled before that moment."""
        with self._mirror.store.reading() as connection:
            query = f"SELECT count(*) FROM record WHERE {EXPIRED}"  # noqa: S608 - our own condition
            return int(connection.execute(query, [to_microseconds(moment)] * 2).fetchone()[0])

    def delete_before(self, moment: datetime) -> int:
        """Delete them; how many there were."""
        return self._delete(EXPIRED, [to_microseconds(moment)] * 2)
