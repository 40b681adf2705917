"""Files that only the service's own user may read."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MODE = 0o600


def open_private(path: Path, flags: int) -> int:
    """Open a file, by `os.open`'s flags; where it is made now, it is for its folder's owner alone.

    Its folder is made as well. root, such as an operator's shell on the host, hands it to the folder's owner,
    who runs the service and could not read it otherwise.

    Raises:
        OSError: it cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, MODE)
    if is_new:
        owner = path.parent.stat()
        with suppress(PermissionError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor
