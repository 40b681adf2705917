"""Disks that are full: said to be, or small ones that are."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Room:
    """A disk as the gallery sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total, self.free = 10**9, 10**9
        monkeypatch.setattr("index.files.space.room", lambda _folder: (self.total, self.free))


def small_disk(where: Path, size: str) -> Iterator[Path]:
    """A file system in memory, of so many bytes; without the right to mount one the test is left out."""
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def fill(disk: Path) -> Path:
    """Take every byte that is free, as another program may; the file that has them."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        pass
    return filler
