"""What may be changed of an enrolled image; its file, its descriptor and its strips stay."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict


class Amendment(TypedDict, total=False):
    """New values for fields of a record; a field that is missing stays as it is, None takes it away."""

    vehicle_id: str | None
    camera_id: str | None
    captured_at: datetime | None
    view: str | None
    vehicle_type: str | None
    tags: tuple[str, ...]


AMENDABLE = frozenset(Amendment.__annotations__)
