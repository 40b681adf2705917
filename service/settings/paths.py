"""Paths among the settings: an empty one would be the current folder."""

from __future__ import annotations

import typing
from pathlib import Path

EMPTY = "an empty path would be the current folder: say . for that, or leave the setting out"


def not_empty(value: object, annotation: object) -> object:
    """The value of a setting of this type, before it is read.

    Raises:
        ValueError: it is an empty text, and the setting a path.
    """
    if value == "" and holds_path(annotation):
        raise ValueError(EMPTY)
    return value


def holds_path(annotation: object) -> bool:
    """Whether a type is a path, or has one in it, as `Path | None` and `list[Path]` do."""
    return annotation is Path or any(map(holds_path, typing.get_args(annotation)))
