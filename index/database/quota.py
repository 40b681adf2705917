"""A gallery's quota in its database, and what is used of it."""

from __future__ import annotations

import sqlite3
from typing import Final

from index.database.setting import read_setting
from index.errors import QuotaReachedError
from index.quota import Quota

IMAGES: Final = "quota_images"
BYTES: Final = "quota_bytes"


def read_quota(connection: sqlite3.Connection) -> Quota:
    """What is set in this database."""
    return Quota(read_setting(connection, IMAGES), read_setting(connection, BYTES))


def used_bytes(connection: sqlite3.Connection) -> int:
    """Of the pages in use, as this connection sees them: inside a transaction, with what it has changed."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def require_quota(writer: sqlite3.Connection, images: int) -> None:
    """Raises QuotaReachedError where the transaction under way leaves more than the quota.

    Args:
        writer: inside the transaction.
        images: that are enrolled after it.
    """
    quota = read_quota(writer)
    if quota.images is not None and images > quota.images:
        raise QuotaReachedError("images", quota.images)
    if quota.bytes is not None and used_bytes(writer) > quota.bytes:
        raise QuotaReachedError("bytes", quota.bytes)


def require_bytes(writer: sqlite3.Connection, before: int) -> None:
    """Raises QuotaReachedError where the transaction under way takes more bytes, and more than the quota.

    Args:
        writer: inside the transaction.
        before: `used_bytes` at its begin. What takes no more is let through, also where the quota is passed.
    """
    limit, used = read_quota(writer).bytes, used_bytes(writer)
    if limit is not None and before < used > limit:
        raise QuotaReachedError("bytes", limit)
