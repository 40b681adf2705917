"""Room on the disk: enrolling ends before the last byte is taken, so that all else goes on."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from index.errors import GalleryFullError
from index.files.private import create_file

RESERVE = "gallery.reserve"
RESERVE_BYTES = 1 << 20
MARGIN_BYTES = 16 << 20
MARGIN_SHARE = 20  # of a small disk the margin is one part of so many


class Space:
    """Free bytes beside a gallery.

    A margin is left free by what asks first, for deletions, for the write-ahead log and for other logs on the
    same disk. Where another program takes it all the same, a reserve file gives its bytes back, and gets them
    again when there is room.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reserve = folder / RESERVE
        self._lock = threading.Lock()
        self._holding = False
        self._refused = 0
        self.fault()

    def hold(self) -> None:
        """Keep a reserve from now on; a gallery that is refused is left as it was."""
        self._holding = True
        self.fault()

    def lacks(self, size: int) -> bool:
        """Whether the margin would not stay free if so many bytes were written."""
        free, margin = self._looked()
        return free < margin + size

    def check(self, size: int, reusable: int = 0) -> None:
        """Raise GalleryFullError unless so many bytes can be written and the margin stays free.

        `reusable` of them have their place in the database already.
        """
        free, margin = self._looked()
        if free < margin + size - reusable:
            self._refused = size
            raise GalleryFullError(self._folder, free, margin + size - reusable)

    def fault(self) -> str | None:
        """That the disk is full, in words; None while there is room, also for what was refused last."""
        free, margin = self._looked()
        if free < margin + self._refused:
            return str(GalleryFullError(self._folder, free, margin + self._refused))
        self._refused = 0
        return None

    def full(self) -> GalleryFullError:
        """The error for a write that found no room; what is held back is free then."""
        free, margin = self._looked()
        with self._lock:
            self._release()
        return GalleryFullError(self._folder, free, margin + RESERVE_BYTES)

    def _looked(self) -> tuple[int, int]:
        """Free bytes, those of the reserve not among them, and the margin; the reserve is seen to."""
        total, free = room(self._folder)
        margin = min(MARGIN_BYTES, total // MARGIN_SHARE)
        size = min(RESERVE_BYTES, margin // 2)
        with self._lock:
            held = self._held()
            if held and free < size:
                self._release()
            elif self._holding and not held and free > margin + 2 * size:
                self._hold(size)
        return free, margin

    def _held(self) -> int:
        try:
            return self._reserve.stat().st_size
        except FileNotFoundError:
            return 0

    def _release(self) -> None:
        with suppress(FileNotFoundError):
            os.truncate(self._reserve, 0)

    def _hold(self, size: int) -> None:
        # Written, since not every file system reserves bytes that are not.
        try:
            create_file(self._reserve)
            self._reserve.write_bytes(bytes(size))
        except OSError:
            self._release()


@contextmanager
def fullness_named(folder: Path) -> Iterator[None]:
    """Raise GalleryFullError for an OSError that says that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        parent = folder if folder.is_dir() else folder.parent
        total, free = room(parent)
        needed = min(MARGIN_BYTES, total // MARGIN_SHARE) + RESERVE_BYTES
        raise GalleryFullError(folder, free, needed) from error


def room(folder: Path) -> tuple[int, int]:
    """Bytes of the file system that the folder is on, and how many of them are free."""
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
