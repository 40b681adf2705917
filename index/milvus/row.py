"""A record as a row of Milvus, and back; and the names of what belongs to it in the object store.

A number is given to one enrollment alone, so that an object's name is never used twice and an object never
changes: `image/NUMBER`, `strips/NUMBER`. The row has the SHA-256 of each, which shows that what came back is
what was written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.database.rows import to_datetime, to_microseconds
from index.errors import DamagedImageError, InvalidEnrollmentError, UnknownImageError
from index.milvus.expression import NO_TIME, SIGN, read_text, stored_text
from index.record import Enrollment, GalleryHeader, Record
from index.validation import TEXTS, storable

SCALARS: Final = (
    "record_id",
    "image_id",
    "vehicle_id",
    "camera_id",
    "captured_at",
    "view",
    "vehicle_type",
    "tags",
    "enrolled_at",
    "media_type",
    "digest",  # of the image's file
    "strips",  # of its strips; empty where it has none
    "size",  # bytes that its quota counts
    "frame",  # name of the frame that is kept of it, as long as that is there
    "frame_digest",
    "frame_media_type",
)

TEXT_BYTES: Final = 4_096
"""Of a text of a record in UTF-8, with its sign."""
TAGS: Final = 256
"""Of a record at most."""

FOLDERS: Final = ("image", "strips", "frame")
"""Of the object store: what comes before the number in the names below."""


def to_row(
    record_id: int, enrollment: Enrollment, now: datetime, descriptor: NDArray[np.float32]
) -> dict[str, Any]:
    """The row of an enrollment; `descriptor` is its stored one."""
    strips = strips_bytes(enrollment)
    return {
        "record_id": record_id,
        "image_id": enrollment.image_id,
        **_known(enrollment),
        "enrolled_at": to_microseconds(enrollment.enrolled_at or now),
        "media_type": enrollment.media_type,
        "digest": digest(enrollment.image),
        "strips": "" if strips is None else digest(strips),
        "size": len(enrollment.image) + len(strips or b"") + 2 * len(descriptor),
        "frame": "",
        "frame_digest": "",
        "frame_media_type": "",
        "descriptor": descriptor,
    }


def to_record(row: Mapping[str, Any], fingerprint: str) -> Record:
    """The record of a row."""
    captured_at = int(row["captured_at"])
    return Record(
        image_id=str(row["image_id"]),
        vehicle_id=read_text(row["vehicle_id"]),
        camera_id=read_text(row["camera_id"]),
        captured_at=None if captured_at == NO_TIME else to_datetime(captured_at),
        view=read_text(row["view"]),
        tags=tuple(row["tags"]),
        fingerprint=fingerprint,
        enrolled_at=to_datetime(int(row["enrolled_at"])),
        media_type=str(row["media_type"]),
        vehicle_type=read_text(row["vehicle_type"]),
    )


def amended(row: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """The row with what is known of the image taken from a record."""
    return {**row, **_known(record)}


def objects_of(row: Mapping[str, Any]) -> list[str]:
    """Names of all that a row has in the object store but its frame, which others may have too."""
    names = [image_name(row["record_id"])]
    return [*names, strips_name(row["record_id"])] if row["strips"] else names


def image_name(record_id: int) -> str:
    """Of an image's file."""
    return f"image/{record_id}"


def strips_name(record_id: int) -> str:
    """Of an image's strips."""
    return f"strips/{record_id}"


def frame_name(number: int) -> str:
    """Of a frame's file."""
    return f"frame/{number}"


def strips_bytes(enrollment: Enrollment) -> bytes | None:
    """Strips as they are stored: float16, little-endian, row by row."""
    return None if enrollment.strips is None else enrollment.strips.astype("<f2").tobytes()


def read_strips(row: Mapping[str, Any], data: bytes, header: GalleryHeader) -> NDArray[np.float16]:
    """Strips `[s, w]` of their bytes. Raises DamagedImageError."""
    if header.strips_shape is None or digest(data) != row["strips"]:
        raise DamagedImageError(row["image_id"], "strips")
    return np.frombuffer(data, dtype="<f2").reshape(header.strips_shape).astype(np.float16)


def digest(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


def check_fits(of: Enrollment | Record) -> None:
    """Raises InvalidEnrollmentError for text that the engine has no room for."""
    for field in ("image_id", "media_type", *TEXTS):
        value = getattr(of, field)
        if value is not None and not _fits(value):
            raise InvalidEnrollmentError(
                field, f"text of {len(value.encode()):,} bytes", f"at most {TEXT_BYTES - len(SIGN):,} of them"
            )
    if len(of.tags) > TAGS:
        raise InvalidEnrollmentError("tags", f"{len(of.tags):,} tags", f"at most {TAGS} of them")
    for tag in of.tags:
        if not _fits(tag):
            raise InvalidEnrollmentError(
                "tags",
                f"one of {len(tag.encode()):,} bytes",
                f"each at most {TEXT_BYTES - len(SIGN):,} bytes",
            )


def check_id(image_id: str) -> None:
    """Raises UnknownImageError for text that no image can have as its id."""
    if not is_id(image_id):
        raise UnknownImageError(image_id)


def is_id(image_id: str) -> bool:
    """Whether an image can have this text as its id."""
    return storable(image_id) and _fits(image_id)


def _fits(text: str) -> bool:
    return len(text.encode()) <= TEXT_BYTES - len(SIGN)


def _known(of: Enrollment | Record) -> dict[str, Any]:
    return {
        "vehicle_id": stored_text(of.vehicle_id),
        "camera_id": stored_text(of.camera_id),
        "captured_at": NO_TIME if of.captured_at is None else to_microseconds(of.captured_at),
        "view": stored_text(of.view),
        "vehicle_type": stored_text(of.vehicle_type),
        "tags": list(of.tags),
    }
