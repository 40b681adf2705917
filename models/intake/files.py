"""Which files are images, by their names and first bytes, and whether one can be read."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from models.intake.names import shown

_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo"}
_OTHERS = {
    ".png",
    ".apng",
    ".webp",
    ".bmp",
    ".dib",
    ".gif",
    ".tif",
    ".tiff",
    ".avif",
    ".heic",
    ".heif",
    ".hif",
}
_NOT_ACCEPTED = {".jp2", ".j2k", ".jxl", ".ppm", ".pgm", ".pnm", ".tga"}
SUFFIXES = frozenset(_JPEG | _OTHERS | _NOT_ACCEPTED)
"""Of images. What is not accepted is among them, so that it is refused and not left out in silence."""

MAX_BYTES = 1024**3

_STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|BM....\0\0\0\0|GIF8[79]a|II\*\0|MM\0\*|"
    rb"....ftyp(?:heic|heix|hevc|mif1|msf1|avif|avis)|\0\0\0\x0cjP  |\0\0\0\x0cJXL ",
    re.DOTALL,
)
_START = 32


def is_image(path: Path) -> bool:
    """Whether a file is an image by its suffix or, whatever its name, by its first bytes.

    Raises:
        OSError: the suffix does not tell, and the file cannot be read.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    with path.open("rb") as file:
        return _STARTS.match(file.read(_START)) is not None


def why_unreadable(path: Path) -> str | None:
    """Why an image file cannot be read; None where nothing speaks against it. Nothing is opened."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        return reason_of(error)
    if stat.S_ISDIR(found.st_mode):
        return "is a folder"
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file"
    if found.st_size > MAX_BYTES:
        return f"has {found.st_size:,} bytes, too many for an image"
    return None if found.st_size else "is empty"


def reason_of(error: Exception) -> str:
    """An error of the file system in words."""
    if not isinstance(error, OSError):
        return "has a name that no file can have"
    if error.errno == errno.ENOENT:
        return "does not exist"
    if error.errno == errno.ELOOP:
        return "is a link that leads back to itself"
    return f"cannot be read: {error.strerror or error}"


class RealPaths:
    """Where paths lead, links followed; of every folder it is looked up once."""

    def __init__(self) -> None:
        self._folders: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        """The path without links; of what does not exist, as far as it does."""
        if path.name in ("", ".."):
            return os.path.realpath(path)
        joined = os.path.join(self._folder(path.parent), path.name)  # noqa: PTH118 - a string is wanted
        return os.path.realpath(joined) if os.path.islink(joined) else joined  # noqa: PTH114

    def why_outside(self, path: Path, folder: Path) -> str | None:
        """Where a path leads that is not a folder or below it; None where it is."""
        try:
            real, root = self.of(path), self._folder(folder)
        except (OSError, ValueError) as error:
            return reason_of(error)
        inside = real == root or real.startswith(f"{root.rstrip(os.sep)}{os.sep}")
        return None if inside else f"leads to {shown(real)}"

    def _folder(self, folder: Path) -> str:
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]
