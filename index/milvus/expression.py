"""A filter as an expression of Milvus, which the engine applies inside the search.

Text is written with a sign before it, so that an empty text and none are two values: the engines of before
2.5 know no null. A time that is not known is `NO_TIME`, which no time is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from index.database.rows import to_microseconds
from index.filter import Filter

NO_TIME: Final = -(2**62)
SIGN: Final = "="

# Of each field that is a set of texts of a record: its name in the engine.
_SETS: Final = {
    "camera_ids": "camera_id",
    "vehicle_ids": "vehicle_id",
    "views": "view",
    "vehicle_types": "vehicle_type",
}
EVERYTHING: Final = "record_id >= 0"


def expression(where: Filter) -> str:
    """What the engine applies; `EVERYTHING` for no conditions. It agrees with `Filter.admits`."""
    parts: list[str] = []
    for field, name in _SETS.items():
        wanted: frozenset[str] | None = getattr(where, field)
        if wanted is not None:
            parts.append(one_of(name, map(stored_text, wanted)))
    if where.not_camera_ids:
        parts.append(f"not ({one_of('camera_id', map(stored_text, where.not_camera_ids))})")
    if where.any_tags is not None:
        # Of each alone: some engines refuse, or take for all, what is asked of none.
        each = [f"array_contains(tags, {literal(tag)})" for tag in sorted(where.any_tags)]
        parts.append(_joined(each, "or") if each else NOTHING)
    parts += [f"array_contains(tags, {literal(tag)})" for tag in sorted(where.all_tags or ())]
    if where.captured_from is not None or where.captured_to is not None:
        parts.append(f"captured_at > {NO_TIME}")
    for field, sign in (("captured_from", ">="), ("captured_to", "<")):
        moment = getattr(where, field)
        if moment is not None:
            parts.append(f"captured_at {sign} {to_microseconds(moment)}")
    return _joined(parts, "and") if parts else EVERYTHING


NOTHING: Final = "record_id < 0"
"""What no record meets."""


def _joined(parts: list[str], word: str) -> str:
    """All parts, one or more, in halves of halves: an engine takes no more than a hundred in a row."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(parts[:middle], word)} {word} {_joined(parts[middle:], word)})"


def one_of(name: str, values: Iterable[str]) -> str:
    """That a field of text is one of these."""
    texts = sorted(values)
    return f"{name} in [{', '.join(map(literal, texts))}]" if texts else NOTHING


def numbers(record_ids: Iterable[int]) -> str:
    """That a record has one of these numbers."""
    wanted = list(record_ids)
    return f"record_id in [{', '.join(map(str, wanted))}]" if wanted else NOTHING


def stored_text(text: str | None) -> str:
    """A text of a record as it is in the engine."""
    return "" if text is None else SIGN + text


def read_text(stored: str) -> str | None:
    """The inverse of `stored_text`."""
    return stored[len(SIGN) :] if stored else None


def literal(text: str) -> str:
    """A text in an expression, in quotes and escaped: no text ends it, whatever is in it."""
    return json.dumps(text, ensure_ascii=False)
