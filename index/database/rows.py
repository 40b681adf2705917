"""A record as a row of the database, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from index.database.checksums import record_checksum
from index.errors import DamagedImageError
from index.record import Enrollment, Record

SELECT = (
    "SELECT id, image_id, vehicle_id, camera_id, captured_at, view, tags, enrolled_at, media_type, "
    "vehicle_type, checksum.record FROM record LEFT JOIN checksum ON checksum.record_id = id"
)
INSERT = (
    "INSERT INTO record (image_id, vehicle_id, camera_id, captured_at, view, tags, enrolled_at, media_type, "
    "vehicle_type) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)

UPDATE = (
    "UPDATE record SET image_id = ?, vehicle_id = ?, camera_id = ?, captured_at = ?, view = ?, tags = ?, "
    "enrolled_at = ?, media_type = ?, vehicle_type = ? WHERE id = ?"
)

INSERT_TAG = "INSERT OR IGNORE INTO tag VALUES (?, ?)"
# Tags that are no list any more are damaged, and in no filter.
INSERT_TAGS_OF_RECORDS = (
    "INSERT OR IGNORE INTO tag SELECT value, record.id FROM record, "
    "json_each(iif(json_valid(record.tags), record.tags, '[]')) AS one WHERE one.type = 'text'"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_row(enrollment: Enrollment, now: datetime) -> tuple[Any, ...]:
    """The values for INSERT; times become microseconds since 1970, exactly."""
    return _row(enrollment, enrollment.enrolled_at or now)


def record_row(record: Record) -> tuple[Any, ...]:
    """The values for UPDATE, before the record's number."""
    return _row(record, record.enrolled_at)


def _row(of: Enrollment | Record, enrolled_at: datetime) -> tuple[Any, ...]:
    return (
        of.image_id,
        of.vehicle_id,
        of.camera_id,
        None if of.captured_at is None else to_microseconds(of.captured_at),
        of.view,
        json.dumps(of.tags, ensure_ascii=False),
        to_microseconds(enrolled_at),
        of.media_type,
        of.vehicle_type,
    )


def read_record(row: tuple[Any, ...], fingerprint: str) -> Record:
    """The record of a row of SELECT in a gallery of this fingerprint.

    Raises DamagedImageError where the row is not what was written.
    """
    record_id, *values, expected = row
    if record_checksum(record_id, values) != expected:
        raise DamagedImageError(str(row[1]), "record")
    return to_record(row[:-1], fingerprint)


def to_record(row: tuple[Any, ...], fingerprint: str) -> Record:
    """The record of a number and the values of INSERT, in a gallery of this fingerprint."""
    _, image_id, vehicle_id, camera_id, captured_at, view, tags, enrolled_at, media_type, vehicle_type = row
    return Record(
        image_id=image_id,
        vehicle_id=vehicle_id,
        camera_id=camera_id,
        captured_at=None if captured_at is None else to_datetime(captured_at),
        view=view,
        tags=tuple(json.loads(tags)),
        fingerprint=fingerprint,
        enrolled_at=to_datetime(enrolled_at),
        media_type=media_type,
        vehicle_type=vehicle_type,
    )


def to_microseconds(moment: datetime) -> int:
    """Since 1970, exactly but for what is less than one; earlier times are negative."""
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(microseconds: int) -> datetime:
    """The inverse of `to_microseconds`, in UTC."""
    return _EPOCH + microseconds * _MICROSECOND
