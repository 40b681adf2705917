"""Files that are written whole or not at all: a crash leaves the old one or the new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write a text file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def write_json(path: Path, values: Any) -> None:
    """Write plain JSON types."""
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
