"""The images below a folder, and what there is not taken, with the reason."""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from models.intake.files import is_image, reason_of
from models.intake.names import shown

_THUMBNAILS = re.compile(r"[_@]*thumb(s|nails?)?([_-].*)?|@eadir", re.IGNORECASE)
TAKEN = "a link to what is taken under another name"
_OF_THE_SYSTEM = frozenset(
    (
        "__macosx",
        "__pycache__",
        "$recycle.bin",
        "recycler",
        "#recycle",
        "@recycle",
        "#snapshot",
        "@recently-snapshot",
        "lost+found",
        "system volume information",
    )
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that is not taken.

    Attributes:
        path: its own.
        reason: a few words, the same for all of a kind.
        missing: whether an image that was meant may be missing for it.
    """

    path: Path
    reason: str
    missing: bool = False


@dataclass(frozen=True)
class FoundImages:
    """What is below a folder: images in the order of their paths, and what is left out."""

    images: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def find_images(root: Path) -> FoundImages:
    """All images below a folder, links to files and folders followed.

    Hidden files and folders, folders of thumbnails and of the system are left out, and so is what a link
    leads to a second time. The images are not opened, apart from those that their names do not tell.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    os.scandir(root).close()
    walk = _Walk()
    walk.folder(root)
    walk.links()
    walk.found.images.sort(key=lambda path: path.relative_to(root).parts)
    walk.found.left_out.sort(key=lambda left: left.path)
    return walk.found


class _Walk:
    """One walk; links are followed last, so that what they lead to keeps its own name where it has one."""

    def __init__(self) -> None:
        self.found = FoundImages()
        self._links: deque[Path] = deque()
        self._names: dict[str, Path] = {}  # real path -> as it was found, of folders and images

    def folder(self, root: Path) -> None:
        """Everything below a folder but links, which are kept for later."""
        pending = [root]
        while pending:
            folder = pending.pop()
            real = os.path.realpath(folder)
            if real in self._names:
                self._leave_out(folder, TAKEN)
                continue
            self._names[real] = folder
            try:
                with os.scandir(folder) as listed:
                    entries = sorted(listed, key=lambda entry: entry.name)
                pending += [folder / entry.name for entry in entries if self._is_folder(entry, folder, real)]
            except OSError as error:
                self._leave_out(folder, reason_of(error), missing=True)

    def links(self) -> None:
        """What links lead to, unless it was found under another name."""
        while self._links:
            path = self._links.popleft()
            try:
                real = os.path.realpath(path, strict=True)
            except OSError as error:
                self._leave_out(path, f"a link that leads nowhere: {reason_of(error)}", missing=True)
                continue
            if Path(real).is_dir():
                self.folder(path)
            elif Path(real).is_file():
                self._file(path, real)
            else:
                self._leave_out(path, "no regular file")

    def _is_folder(self, entry: os.DirEntry[str], folder: Path, real: str) -> bool:
        """Whether an entry is a folder to walk; what it is else is seen to."""
        path = folder / entry.name
        if reason := _why_not(entry.name):
            self._leave_out(path, reason)
        elif entry.is_symlink():
            self._links.append(path)
        elif entry.is_dir(follow_symlinks=False):
            return True
        elif entry.is_file(follow_symlinks=False):
            self._file(path, f"{real}{os.sep}{entry.name}")
        else:
            self._leave_out(path, "no regular file")
        return False

    def _file(self, path: Path, real: str) -> None:
        if real in self._names:
            self._leave_out(path, TAKEN)
            return
        try:
            taken = is_image(path)
        except OSError as error:
            self._leave_out(path, reason_of(error), missing=True)
            return
        if taken:
            self._names[real] = path
            self.found.images.append(path)
        elif path.suffix.lower() in (".csv", ".tsv"):
            self._leave_out(path, "no image; if it is a CSV manifest, name it in place of the folder")
        else:
            self._leave_out(path, f"no image ({shown(path.suffix.lower()) or 'no suffix'})")

    def _leave_out(self, path: Path, reason: str, *, missing: bool = False) -> None:
        self.found.left_out.append(LeftOut(path, reason, missing))


def _why_not(name: str) -> str | None:
    """Why a file or folder of this name is not taken, whatever is in it."""
    if name.startswith("."):
        return "hidden"
    if _THUMBNAILS.fullmatch(name):
        return "thumbnails"
    return "of the system" if name.casefold() in _OF_THE_SYSTEM else None
