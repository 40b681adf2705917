"""The number of the last change that was acknowledged, beside the database and not in it.

It is written after the commit, in place, and not waited for: a process that is killed leaves it as it was
written, a power cut may leave an earlier number, and none leaves one that the database did not have.
"""

from __future__ import annotations

import logging
import os
import re
import zlib
from pathlib import Path

from index.disk import sync
from index.private import private_opener

ACKNOWLEDGED = "gallery.acknowledged"

_LINE = re.compile(rb"(\d{20}) ([0-9a-f]{8})\n")

log = logging.getLogger(__name__)


class Acknowledged:
    """The file, open to be written by one thread at a time. Raises OSError where it cannot be made."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ACKNOWLEDGED
        is_new = not self._path.exists()
        self._file = private_opener(str(self._path), os.O_WRONLY | os.O_CREAT)
        if is_new:
            sync(folder)

    def note(self, sequence: int) -> None:
        """Write that this change is the last one. A failure is logged: the change is durable without it."""
        number = f"{sequence:020d}".encode()
        try:
            os.pwrite(self._file, number + b" %08x\n" % zlib.crc32(number), 0)
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


def read_acknowledged(folder: Path) -> int | None:
    """The number in the folder's file; None where there is none that can be read."""
    path = folder / ACKNOWLEDGED
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    line = _LINE.fullmatch(content)
    if line is None or int(line[2], 16) != zlib.crc32(line[1]):
        if content:  # a process that was killed before its first change has left it empty
            log.warning("%s is damaged; it is written anew", path)
        return None
    return int(line[1])
