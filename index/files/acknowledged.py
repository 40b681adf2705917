"""The last change that was acknowledged and how many images there were, beside the database and not in it.

Both are written after the commit, in place, and not waited for: a process that is killed leaves them as
they were written, a power cut may leave earlier ones, and none leaves some that the database did not have.
"""

from __future__ import annotations

import logging
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from index.files.disk import sync
from index.files.private import private_opener

ACKNOWLEDGED = "gallery.acknowledged"

_LINE = re.compile(rb"(\d{20})( \d{20})? ([0-9a-f]{8})\n")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class LastChange:
    """The number of a change, and how many images there were after it; None where that was not noted."""

    sequence: int
    images: int | None


class Acknowledged:
    """The file, open to be written by one thread at a time. Raises OSError where it cannot be made."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ACKNOWLEDGED
        is_new = not self._path.exists()
        self._file = private_opener(str(self._path), os.O_WRONLY | os.O_CREAT)
        if is_new:
            sync(folder)

    def note(self, sequence: int, images: int) -> None:
        """Write that this change is the last one. A failure is logged: the change is durable without it."""
        numbers = f"{sequence:020d} {images:020d}".encode()
        try:
            os.pwrite(self._file, numbers + b" %08x\n" % zlib.crc32(numbers), 0)
        except OSError:
            log.exception("%s cannot be written; a loss of changes would go unnoticed", self._path)

    def close(self) -> None:
        """Wait until it is on the disk, and close it."""
        try:
            os.fsync(self._file)
        except OSError:
            log.exception("%s cannot be written; a loss of changes would go unnoticed", self._path)
        finally:
            os.close(self._file)


def read_acknowledged(folder: Path) -> LastChange | None:
    """What the folder's file says; None where there is none that can be read."""
    path = folder / ACKNOWLEDGED
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    line = _LINE.fullmatch(content)
    if line is None or int(line[3], 16) != zlib.crc32(line[1] + (line[2] or b"")):
        if content:  # a process that was killed before its first change has left it empty
            log.warning("%s is damaged; it is written anew", path)
        return None
    return LastChange(int(line[1]), None if line[2] is None else int(line[2]))
