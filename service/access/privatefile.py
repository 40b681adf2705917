"""Files that only the service's own user may read, whatever the umask is."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

MODE = 0o600
FOLDER = 0o700


def open_private(path: Path, flags: int) -> int:
    """Open a file, by `os.open`'s flags; it is for its folder's owner alone, and so is a folder made for it.

    Others lose their permissions on a file of this user. root, such as an operator's shell on the
    host, hands a new one to the folder's owner, who runs the service and could not read it otherwise.

    Raises:
        OSError: it cannot be opened.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(FOLDER)
    is_new = not path.exists()
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, MODE)
    if is_new:
        owner = path.parent.stat()
        with suppress(PermissionError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    found = os.fstat(descriptor)
    if is_new or (stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()):
        _tighten(descriptor, found.st_mode)
    return descriptor


def tighten_private(path: Path) -> None:
    """Remove others' permissions from a file of this user that is only read here. Raises OSError."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
                _tighten(descriptor, found.st_mode)
        finally:
            os.close(descriptor)


def _tighten(descriptor: int, mode: int) -> None:
    if stat.S_IMODE(mode) != MODE:
        # A file system that is read-only, or knows no modes, refuses.
        with suppress(OSError):
            os.fchmod(descriptor, MODE)
