"""Fields that several routes take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

Moment = datetime | str
"""A time with its offset from UTC; as text, by ISO 8601."""
Many = str | Sequence[str]
"""One value, or several of which any will do."""


class Filter(TypedDict, total=False):
    """Which images are searched, listed or deleted: those that meet every condition that is given."""

    only_camera_id: Many
    not_camera_id: Many
    captured_from: Moment
    captured_to: Moment
    only_vehicle_id: Many
    only_view: Many
    only_vehicle_type: Many
    any_tag: Many
    all_tag: Many


class About(TypedDict, total=False):
    """What is known of an image that is enrolled."""

    image_id: str
    vehicle_id: str
    camera_id: str
    captured_at: Moment
    view: str
    vehicle_type: str
    tags: Sequence[str]
