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
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

LENGTH = 16
LAST = "the last page's `next`, as it was answered"
_SCHEMA = WithJsonSchema(
    {
        "type": "string",
        "format": "cursor",
        "minLength": LENGTH,
        "maxLength": LENGTH,
        "examples": ["AAAAAAAABQQrHBND"],
    }
)

Listing = Literal["gallery", "verdicts", "alerts"]


def cursor_of(listing: Listing, number: int | None) -> str | None:
    """The cursor of a place in a listing; None where there is no more."""
    if number is None:
        return None
    place = struct.pack(">q", number)
    checksum = hashlib.blake2s(place, digest_size=4, key=listing.encode()).digest()
    return base64.urlsafe_b64encode(place + checksum).decode()


def _place_in(listing: Listing) -> Callable[[object], int | None]:
    """What turns a cursor of a listing back into the place that it stands for."""

    def place(cursor: object) -> int | None:
        if cursor is None:
            return None
        try:
            [number] = struct.unpack(">q4x", base64.b64decode(str(cursor), b"-_"))
        except (binascii.Error, struct.error, ValueError):
            number = -1
        if number < 0 or cursor != cursor_of(listing, number):
            raise PydanticCustomError(
                "cursor",
                "is no cursor of this list; send `next` of its last page as it was answered, or nothing for "
                "the first page",
            )
        return int(number)

    return place


GalleryCursor = Annotated[int | None, BeforeValidator(_place_in("gallery")), _SCHEMA]
VerdictsCursor = Annotated[int | None, BeforeValidator(_place_in("verdicts")), _SCHEMA]
AlertsCursor = Annotated[int | None, BeforeValidator(_place_in("alerts")), _SCHEMA]
