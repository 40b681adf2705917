"""Passwords that lie in files."""

from __future__ import annotations

import errno
from pathlib import Path


def read_password(file: Path | None, setting: str) -> str | None:
    """The password in a file; None without one.

    Args:
        file: that holds nothing else.
        setting: that names it.

    Raises:
        OSError: it cannot be read; the message names the setting.
    """
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        reason = f"{error.strerror or error}; {setting} names this file, which has to hold the password"
        raise OSError(error.errno, reason, str(file)) from None
    except UnicodeDecodeError:
        reason = (
            f"it holds bytes that are no UTF-8; {setting} names this file, which has to hold the password"
        )
        raise OSError(errno.EILSEQ, reason, str(file)) from None
