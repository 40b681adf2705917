"""A setting in words: its environment variable, and what it accepts."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic.fields import FieldInfo

from service.settings.sharing import PREFIX


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def accepted(field: FieldInfo) -> str:
    """What a field accepts, in words: `1 .. 65535`, `auto | json | console`, `a path`."""
    bounds = {
        key: getattr(rule, key) for rule in field.metadata for key in ("ge", "gt", "le") if hasattr(rule, key)
    }
    if isinstance(field.json_schema_extra, dict) and "accepts" in field.json_schema_extra:
        return str(field.json_schema_extra["accepts"])
    choices = _arguments(field.annotation, Literal)
    if choices:
        return " | ".join(map(str, choices))
    kinds = [field.annotation, *typing.get_args(field.annotation)]
    words = next(
        (word for kind, word in _WORDS.items() if kind in kinds),
        "text",
    )
    low = f"{bounds['ge']:,}" if "ge" in bounds else f"more than {bounds['gt']:,}" if "gt" in bounds else None
    return f"{words}, {low} .. {bounds['le']:,}" if low and "le" in bounds else words


_WORDS: Mapping[Any, str] = {bool: "true | false", int: "a whole number", float: "a number", Path: "a path"}


def _arguments(annotation: Any, origin: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation) if typing.get_origin(annotation) is origin else ()
