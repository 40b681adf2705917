"""A filter as SQL: the condition on a row of `record`, and the values in it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from index.database.rows import to_microseconds
from index.filter import Filter

# Of each field that is a set: the condition on the values of one JSON array.
_SETS = {
    "camera_ids": "record.camera_id IN (SELECT value FROM json_each(?))",
    "not_camera_ids": (
        "(record.camera_id IS NULL OR record.camera_id NOT IN (SELECT value FROM json_each(?)))"
    ),
    "vehicle_ids": "record.vehicle_id IN (SELECT value FROM json_each(?))",
    "views": "record.view IN (SELECT value FROM json_each(?))",
    "vehicle_types": "record.vehicle_type IN (SELECT value FROM json_each(?))",
    "any_tags": "record.id IN (SELECT record_id FROM tag WHERE tag IN (SELECT value FROM json_each(?)))",
}
# One condition however many there are: SQLite refuses a chain of a thousand.
_EACH_TAG = (
    "record.id IN (SELECT record_id FROM tag WHERE tag IN (SELECT value FROM json_each(?)) "
    "GROUP BY record_id HAVING count(*) = ?)"
)


def conditions(where: Filter) -> tuple[str, list[str | int]]:
    """What stands behind WHERE, `TRUE` for no conditions, and the values of its parameters in their order.

    It agrees with `Filter.admits` on every record whose row is what was written.
    """
    parts: list[str] = []
    values: list[str | int] = []
    for field, condition in _SETS.items():
        wanted: frozenset[str] | None = getattr(where, field)
        if wanted is not None:
            parts.append(condition)
            values.append(_array(wanted))
    if where.all_tags:
        several = len(where.all_tags) > 1
        parts.append(_EACH_TAG if several else _SETS["any_tags"])
        values += [_array(where.all_tags), len(where.all_tags)] if several else [_array(where.all_tags)]
    for field, sign in (("captured_from", ">="), ("captured_to", "<")):
        moment = getattr(where, field)
        if moment is not None:
            parts.append(f"record.captured_at {sign} ?")
            values.append(to_microseconds(moment))
    return " AND ".join(parts) or "TRUE", values


def _array(texts: Iterable[str]) -> str:
    return json.dumps(sorted(texts), ensure_ascii=False)
