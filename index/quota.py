"""How much a gallery may hold: images, and bytes of its database, set by its operator and kept in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from index.errors import InvalidQuotaError

MOST: Final = 2**53
"""The largest limit: whole numbers up to it are exact in JSON, whoever reads it."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a gallery may hold at most; None for no limit.

    Attributes:
        images: enrolled.
        bytes: of the database's pages in use: images, descriptors, strips, records and all that is derived.
    """

    images: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a gallery holds, counted as its quota is."""

    images: int
    bytes: int


def check_quota(quota: Quota) -> None:
    """Raises InvalidQuotaError where a limit is not 0 or more."""
    for name in ("images", "bytes"):
        limit = getattr(quota, name)
        if limit is not None and not 0 <= limit <= MOST:
            raise InvalidQuotaError(name, limit)
