"""How long a gallery on Milvus keeps images."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from index.database.rows import to_microseconds
from index.milvus.companions import KeptSettings
from index.milvus.engine import Engine
from index.milvus.expression import NO_TIME
from index.retention import RETENTION


class MilvusRetention:
    """See `index.retention.RetentionHome`. Every replica looks; what one has deleted the next does not find.

    Args:
        engine: the rows.
        settings: where the days are.
        delete: deletes the rows that meet an expression; how many there were.
    """

    def __init__(self, engine: Engine, settings: KeptSettings, delete: Callable[[str], int]) -> None:
        self._engine = engine
        self._settings = settings
        self._delete = delete

    def days(self) -> int | None:
        """What is set."""
        return self._settings.get(RETENTION)

    def keep_days(self, days: int | None) -> None:
        """Set it, durably."""
        self._settings.set(RETENTION, days)

    def count_before(self, moment: datetime) -> int:
        """How many images were taken or enrolled before that moment."""
        return self._engine.count(_before(moment))

    def delete_before(self, moment: datetime) -> int:
        """Delete them; how many there were."""
        return self._delete(_before(moment))


def _before(moment: datetime) -> str:
    limit = to_microseconds(moment)
    return f"((captured_at > {NO_TIME} and captured_at < {limit}) or enrolled_at < {limit})"
