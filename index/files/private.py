"""Files and folders that only the user who runs the service may read, whatever the umask is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

FILE = 0o600
FOLDER = 0o700
OURS = ("gallery.*", "snapshot", "backup-version-*", "lost-*", "re-embedding")
"""What lies in a gallery's folder. Beside it may lie what others keep there."""


def private_opener(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=)` or by flags; where it is made now, it is private."""
    is_new = not os.path.lexists(path)
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE)
    if is_new:
        os.fchmod(descriptor, FILE)
    return descriptor


def create_file(path: Path) -> None:
    """Create a private file where there is none; SQLite gives the files beside a database its mode."""
    os.close(private_opener(str(path), os.O_RDWR | os.O_CREAT))


def tighten(path: Path) -> None:
    """Take from others what they may do with a file or a folder of this user's; links are left alone.

    A folder that all may write to, such as /tmp, is nobody's own and stays as it is.
    """
    found = path.lstat()
    is_folder = stat.S_ISDIR(found.st_mode)
    wanted = FOLDER if is_folder else FILE
    ours = is_folder or stat.S_ISREG(found.st_mode)
    if not ours or found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        return
    if stat.S_IMODE(found.st_mode) != wanted:
        path.chmod(wanted)


def tighten_gallery(folder: Path) -> None:
    """Make the folder of a gallery, and what a gallery keeps in it, private."""
    tighten(folder)
    for pattern in OURS:
        for found in folder.glob(pattern):
            tighten(found)
            if found.is_dir() and not found.is_symlink():
                for inner in found.rglob("*"):
                    tighten(inner)
