"""The gallery's folder, and the lock on it: one process at a time, until that process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from index.errors import GalleryLockedError


class FolderLock:
    """Held from construction to `release`, or until the process ends, however it ends.

    flock and not lockf: it also keeps a second Gallery of the same process out. Raises
    GalleryLockedError where someone else holds it.
    """

    def __init__(self, folder: Path) -> None:
        # The file stays when the lock goes: removing it would let two holders lock two files.
        self._file = os.open(folder / "gallery.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"process {os.getpid()}".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._file, 100, 0).decode(errors="replace")
            os.close(self._file)
            raise GalleryLockedError(folder, holder) from None
        except BaseException:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._file)


def create_folder(path: Path) -> None:
    """Create a folder where there is none, so that a power cut cannot take it and its contents."""
    if path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
