"""Which records a search, a listing or a count is for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from index.record import Record

SETS = ("camera_ids", "not_camera_ids", "vehicle_ids", "views", "vehicle_types", "any_tags", "all_tags")
TIMES = ("captured_from", "captured_to")


@dataclass(frozen=True, slots=True)
class Filter:
    """The records that a search is for; `ALL`, the one without conditions, is for the whole gallery.

    Each field is a condition, and None in it lets every record through; a record is found where it meets all
    of them. What a record does not have is in no set and no span: one without a camera is let through by
    `not_camera_ids` alone, one without a time by neither end of the window. A filter is a value: hashable,
    and equal to another one with the same conditions, so that queries with equal filters may share a search.
    A gallery applies it inside the search: what it lets through is ranked as if nothing else were enrolled.

    Attributes:
        camera_ids: taken by one of these.
        not_camera_ids: taken by none of these.
        captured_from: taken then or later; aware.
        captured_to: taken earlier than then; aware.
        vehicle_ids: of one of these.
        views: one of these.
        vehicle_types: one of these.
        any_tags: with one of these or more.
        all_tags: with each of these.
    """

    camera_ids: frozenset[str] | None = None
    not_camera_ids: frozenset[str] | None = None
    captured_from: datetime | None = None
    captured_to: datetime | None = None
    vehicle_ids: frozenset[str] | None = None
    views: frozenset[str] | None = None
    vehicle_types: frozenset[str] | None = None
    any_tags: frozenset[str] | None = None
    all_tags: frozenset[str] | None = None

    def is_all(self) -> bool:
        """Whether it has no conditions."""
        return all(getattr(self, field.name) is None for field in fields(self))

    def admits(self, record: Record) -> bool:
        """Whether a record meets all conditions."""
        captured, tags = record.captured_at, frozenset(record.tags)
        return (
            _in(record.camera_id, self.camera_ids)
            and (self.not_camera_ids is None or record.camera_id not in self.not_camera_ids)
            and (self.captured_from is None or (captured is not None and captured >= self.captured_from))
            and (self.captured_to is None or (captured is not None and captured < self.captured_to))
            and _in(record.vehicle_id, self.vehicle_ids)
            and _in(record.view, self.views)
            and _in(record.vehicle_type, self.vehicle_types)
            and (self.any_tags is None or not self.any_tags.isdisjoint(tags))
            and (self.all_tags is None or self.all_tags <= tags)
        )


ALL = Filter()


def _in(value: str | None, wanted: frozenset[str] | None) -> bool:
    return wanted is None or (value is not None and value in wanted)
