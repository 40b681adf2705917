"""Cursors of listings: opaque text, that of one listing refused by any other.

A cursor holds the number that the listing goes on at, and a checksum of it and of the listing's name: what is
made up or cut short is refused, and so are the numbers that cursors once were. It is no secret: whoever may
read a listing may read all of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import Annotated, Literal

from fastapi import Query
from pydantic import WithJsonSchema

from service.api.errors import FieldFault
from service.api.problems import invalid_fields

LENGTH = 16
_SCHEMA = {
    "type": "string",
    "format": "cursor",
    "minLength": LENGTH,
    "maxLength": LENGTH,
    "examples": ["AAAAAAAABQQrHBND"],
}

Listing = Literal["gallery", "verdicts", "alerts"]
After = Annotated[
    str | None,
    WithJsonSchema(_SCHEMA),
    Query(description="the last page's `next`, as it was answered"),
]


def cursor_of(listing: Listing, number: int | None) -> str | None:
    """The cursor of a place in a listing; None where there is no more."""
    if number is None:
        return None
    return base64.urlsafe_b64encode(_packed(listing, number)).decode()


def number_in(listing: Listing, cursor: str | None) -> int | None:
    """The place that a cursor stands for; None for none.

    Raises:
        ServiceError: INVALID_FIELDS, where it is no cursor of this listing.
    """
    if cursor is None:
        return None
    try:
        data = base64.b64decode(cursor, b"-_", validate=True)
        [number] = struct.unpack(">q4x", data)
    except (binascii.Error, struct.error, ValueError):
        data, number = b"", 0
    if number < 0 or data != _packed(listing, number):
        message = "is no cursor of this list; send `next` of its last page, or nothing for the first page"
        raise invalid_fields([FieldFault("after", message)])
    return int(number)


def _packed(listing: Listing, number: int) -> bytes:
    place = struct.pack(">q", number)
    return place + hashlib.blake2s(place, digest_size=4, key=listing.encode()).digest()
