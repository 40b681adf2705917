"""Checksums of what is stored of an image: what the disk gives back is known to be what was written.

CRC-32 finds every damage within 32 bits that lie together and, of any other, all but one in four billion. It
begins with the record's number, so that what belongs to another image is not taken for this one's.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

from index.errors import DamagedImageError

VALUES_4 = 8
"""Values of a record's row up to schema version 4."""

_NONE = -1

INSERT_CHECKSUMS = "INSERT INTO checksum VALUES (?, ?, ?, ?, ?)"


def checksum(record_id: int, data: bytes) -> int:
    """Of the bytes of one part of a record; _NONE of what a damaged page gives in their place."""
    if not isinstance(data, bytes) or not isinstance(record_id, int):
        return _NONE
    return zlib.crc32(data, record_id & 0xFFFFFFFF)


def digest(image: bytes) -> bytes:
    """Of an image's bytes, the same under any number: BLAKE2b, 128 bits."""
    return hashlib.blake2b(image, digest_size=16).digest()


def record_checksum(record_id: int, values: Sequence[Any]) -> int:
    """Of a record's row without its number: text, whole numbers and None.

    The vehicle type is the last value. None is left out, so that the checksums of records from before there
    was one (schema version 4) stay what they are.
    """
    covered = list(values)
    if len(covered) > VALUES_4 and covered[-1] is None:
        covered.pop()
    return checksum(record_id, json.dumps(covered, default=repr).encode())


def checked(part: str, image_id: str, record_id: int, data: bytes | None, expected: int | None) -> bytes:
    """The bytes. Raises DamagedImageError unless they have the checksum that was stored with them."""
    if data is None or expected is None or checksum(record_id, data) != expected:
        raise DamagedImageError(image_id, part)
    return data
