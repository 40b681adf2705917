"""Names from outside: which image ids and labels are legal, and the ids made here."""

from __future__ import annotations

import re
import secrets
import time
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from models.intake.names import shown

MAX_IMAGE_ID = 512
MAX_LABEL = 256
MAX_TAGS = 32
IMAGE_ID_RULE = (
    f"1 .. {MAX_IMAGE_ID} printable characters, no space at either end; slashes may stand between segments, "
    'none of which is empty, "." or "..", and the last of several is not "image"'
)
LABEL_RULE = f"1 .. {MAX_LABEL} printable characters, no space at either end"
CAMERA_ID_RULE = f'{LABEL_RULE}; slashes may stand between segments, none of which is "." or ".."'
CAPTURED_AT_RULE = "ISO 8601 with date, time and offset from UTC, such as 2024-05-17T08:30:00+02:00 or ...Z"

_LONGEST = 64
"""Characters of a value that a message shows."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def new_image_id() -> str:
    """A new id that sorts by time of making: a UUID of version 7 (RFC 9562), 36 characters."""
    milliseconds = time.time_ns() // 1_000_000
    bits = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    bits |= 0b10 << 62 | secrets.randbits(62)
    text = f"{bits:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def request_id(sent: str | None) -> str:
    """The caller's request id where it is a sane one, else a new one."""
    return sent if sent and _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)


def _printable(text: str, limit: int) -> bool:
    return 0 < len(text) <= limit and text.isprintable() and text == text.strip()


def is_image_id(text: str) -> bool:
    """Whether a text may name an image."""
    segments = text.split("/")
    return (
        _printable(text, MAX_IMAGE_ID)
        and not any(segment in ("", ".", "..") for segment in segments)
        and not (len(segments) > 1 and segments[-1] == "image")
    )


def _check_image_id(text: str) -> str:
    if not is_image_id(text):
        raise PydanticCustomError(
            "image_id", "is not a legal image id; it takes {rule}", {"rule": IMAGE_ID_RULE}
        )
    return text


def is_label(text: str) -> bool:
    """Whether a text may name a vehicle, a camera, a side, a kind or a tag."""
    return _printable(text, MAX_LABEL)


def _check_label(text: str) -> str:
    if not is_label(text):
        raise PydanticCustomError("label", "is not a legal label; it takes {rule}", {"rule": LABEL_RULE})
    return text


def is_camera_id(text: str) -> bool:
    """Whether a text may name a camera: its routes have the name in their path, which keeps no "..".

    Filters take any label: before this rule cameras had such names, whose images have to be found.
    """
    return is_label(text) and not any(segment in (".", "..") for segment in text.split("/"))


def _check_camera_id(text: str) -> str:
    if not is_camera_id(text):
        raise PydanticCustomError(
            "camera_id",
            "is {value}, which is not a legal camera id; it takes {rule}",
            {"value": named(text), "rule": CAMERA_ID_RULE},
        )
    return text


def named(value: object) -> str:
    """The value as a message may hold it."""
    text = shown(str(value))
    return f"'{text}'" if len(text) <= _LONGEST else f"'{text[: _LONGEST - 3]}...'"


def parse_time(value: object) -> object:
    """A text as a time in UTC; anything else as it is.

    Raises:
        PydanticCustomError: it breaks CAPTURED_AT_RULE.
    """
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise PydanticCustomError(
            "captured_at", "is not a time; it takes {rule}", {"rule": CAPTURED_AT_RULE}
        ) from None
    if moment.tzinfo is None:
        raise PydanticCustomError(
            "captured_at",
            "has no offset from UTC, so it could be any hour; it takes {rule}",
            {"rule": CAPTURED_AT_RULE},
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("captured_at", "is outside the years 1 to 9999 in UTC", {}) from None


# What JSON Schema's regular expressions cannot say of printable characters stands as a format of its own.
LABEL_SCHEMA = WithJsonSchema({"type": "string", "format": "label", "minLength": 1, "maxLength": MAX_LABEL})
_CAMERA_ID_SCHEMA = {"type": "string", "format": "camera-id", "minLength": 1, "maxLength": MAX_LABEL}
_IMAGE_ID_SCHEMA = {"type": "string", "format": "image-id", "minLength": 1, "maxLength": MAX_IMAGE_ID}

ImageId = Annotated[str, AfterValidator(_check_image_id), WithJsonSchema(_IMAGE_ID_SCHEMA)]
CameraId = Annotated[str, AfterValidator(_check_camera_id), WithJsonSchema(_CAMERA_ID_SCHEMA)]
Label = Annotated[str, AfterValidator(_check_label), LABEL_SCHEMA]
Tags = Annotated[list[Label], Field(max_length=MAX_TAGS)]
CapturedAt = Annotated[
    datetime, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})
]
