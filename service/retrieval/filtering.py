"""A filter as the gallery takes it, from one as callers write it."""

from __future__ import annotations

from collections.abc import Sequence

from index import Filter
from service.filtering import FilterFields


def filter_of(fields: FilterFields) -> Filter:
    """The gallery's filter; what is not given is no condition."""
    return Filter(
        camera_ids=_set(fields.only_camera_id),
        not_camera_ids=_set(fields.not_camera_id),
        captured_from=fields.captured_from,
        captured_to=fields.captured_to,
        vehicle_ids=_set(fields.only_vehicle_id),
        views=_set(fields.only_view),
        vehicle_types=_set(fields.only_vehicle_type),
        any_tags=_set(fields.any_tag),
        all_tags=_set(fields.all_tag),
    )


def _set(values: Sequence[str]) -> frozenset[str] | None:
    return frozenset(values) if values else None
