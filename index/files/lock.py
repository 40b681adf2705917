"""The lock on a gallery's folder: one process at a time, until that process ends."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from index.errors import GalleryLockedError
from index.files.private import create_file


class FolderLock:
    """Held from construction to `release`, or until the process ends, however it ends.

    It keeps a second gallery of the same process out, too.

    Raises:
        GalleryLockedError: someone else holds it.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "gallery.lock"
        # Of the process, not of the thread that opens the gallery. On a file system without flock the library
        # would fall back to a lock that outlives a process which is killed.
        self._lock = FileLock(
            file, blocking=False, thread_local=False, fallback_to_soft=False, on_acquired=_sign
        )
        create_file(file)
        try:
            self._lock.acquire()
        except Timeout:
            holder = file.read_bytes()[:100].decode(errors="replace")
            raise GalleryLockedError(folder, holder) from None

    def release(self) -> None:
        """Let the next one in."""
        self._lock.release()


def _sign(lock: int) -> None:
    """Write into the lock's file, open as this descriptor, who holds it."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()}".encode(), 0)
