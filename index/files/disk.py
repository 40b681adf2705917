"""Files and folders that a power cut cannot take back."""

from __future__ import annotations

import os
from pathlib import Path

from index.files.private import tighten


def sync(path: Path) -> None:
    """Wait until a file's contents, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_folder(path: Path) -> None:
    """Create a private folder where there is none, durably."""
    if path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True)
    tighten(path)
    sync(path.parent)
