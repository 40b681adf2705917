"""Files that are written whole or not at all, and whether a path can be written at all."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from models.intake.files import reason_of


class OutputError(OSError):
    """Something cannot be written; the message names it, and why."""


def require_writable(*paths: Path) -> None:
    """See that files or folders can be written, before the work that they get the outcome of.

    Nothing is left there.

    Raises:
        OutputError: one cannot.
    """
    for path in paths:
        there = next(each for each in (path, *path.absolute().parents) if each.exists())
        folder = there.parent if there == path and there.is_file() else there
        if not folder.is_dir():
            raise OutputError(f"{path}: cannot be written: {folder} is no folder")
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            why = error.strerror or reason_of(error)
            raise OutputError(f"{path}: cannot be written: {folder}: {why}") from None


def write_text(path: Path, text: str) -> None:
    """Write a text file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def write_json(path: Path, values: Any) -> None:
    """Write plain JSON types."""
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
