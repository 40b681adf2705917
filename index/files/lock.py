"""The lock on a gallery's folder: one process at a time, until that process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from index.errors import GalleryLockedError
from index.files.private import create_file

LOCK: Final = "gallery.lock"


class FolderLock:
    """Held from construction to `release`, or until the process ends, however it ends.

    It keeps a second gallery of the same process out, too.

    Raises:
        GalleryLockedError: someone else holds it.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / LOCK
        # Of the process, not of the thread that opens the gallery. On a file system without flock the library
        # would fall back to a lock that outlives a process which is killed.
        self._lock = FileLock(
            file, blocking=False, thread_local=False, fallback_to_soft=False, on_acquired=_sign
        )
        create_file(file)
        try:
            self._lock.acquire()
        except Timeout:
            raise GalleryLockedError(folder, _holder(file)) from None

    def release(self) -> None:
        """Let the next one in."""
        self._lock.release()


def lock_to_read(folder: Path) -> Callable[[], None]:
    """Keep out whoever would change a gallery's folder; returns what lets the next one in.

    On a file system that is mounted read-only nothing can be written into the lock's file: others may read
    there at the same time.

    Raises:
        GalleryLockedError: someone else holds it.
    """
    if not is_read_only(folder):
        return FolderLock(folder).release
    try:
        lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return lambda: None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise GalleryLockedError(folder, _holder(folder / LOCK)) from None
    return partial(os.close, lock)


def is_read_only(folder: Path) -> bool:
    """Whether a folder lies on a file system that is mounted read-only."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _holder(file: Path) -> str:
    return file.read_bytes()[:100].decode(errors="replace")


def _sign(lock: int) -> None:
    """Write into the lock's file, open as this descriptor, who holds it."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()}".encode(), 0)
