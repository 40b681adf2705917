"""What is done to a gallery in its folder while nobody has it open, without its model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from index.collections import FOLDER, collection_folders
from index.database.connections import DATABASE
from index.errors import GalleryBackupError
from index.local.gallery import LocalGallery
from index.local.remains import erase_remains


@dataclass(frozen=True, slots=True)
class Purged:
    """How many images there are, and names of what was removed beside the database."""

    images: int
    removed: list[str]


def open_found(folder: Path) -> LocalGallery:
    """The gallery in this folder, as what it is.

    Raises:
        FileNotFoundError: there is none.
        GalleryError: it cannot be opened.
    """
    header = LocalGallery.describe(folder)
    return LocalGallery.open(
        folder,
        fingerprint=header.fingerprint,
        descriptor_dim=header.descriptor_dim,
        strips_shape=header.strips_shape,
    )


def check_apart(folder: Path, target: Path) -> None:
    """See that what is made of a gallery does not lie in its data directory, where no purge would find it.

    Args:
        folder: of the gallery, which may be that of a collection.
        target: of a backup or an archive, that is not there yet.

    Raises:
        GalleryBackupError: it does.
    """
    found = folder.resolve()
    whole = found.parent.parent if found.parent.name == FOLDER else found
    if target.resolve().is_relative_to(whole):
        raise GalleryBackupError(
            f"{target} lies in the data directory {whole}: images that are deleted later would stay there, "
            "and `lka-reid gallery purge` would not find them; name a place outside"
        )


def purge(folder: Path) -> Purged:
    """Leave nothing of what was deleted in any file of a data directory, its collections included.

    What repairs put aside goes as a whole, and so do collections that were being made or dropped.

    Raises:
        NotErasedError: something is left, and why.
        FileNotFoundError, GalleryError: as `open_found`.
        OSError, sqlite3.Error: a file cannot be read or written.
    """
    purged = _purge_one(folder)
    for begun in sorted((folder / FOLDER).glob(".*")):
        shutil.rmtree(begun)
        purged = Purged(purged.images, [*purged.removed, f"{FOLDER}/{begun.name}"])
    for name, path in collection_folders(folder).items():
        one = _purge_one(path)
        removed = [f"{FOLDER}/{name}/{each}" for each in one.removed]
        purged = Purged(purged.images + one.images, [*purged.removed, *removed])
    return purged


def _purge_one(folder: Path) -> Purged:
    with open_found(folder) as gallery:
        removed = erase_remains(folder, at_once=True)
        gallery.erase(in_use=False)
        return Purged(gallery.count(), removed)


def compact(folder: Path) -> tuple[int, int]:
    """Write the database anew, without the room of images that are gone; its bytes before and after.

    SQLite does it in one transaction: a process that is killed leaves the one or the other.

    Raises:
        GalleryFullError: there is no room for it beside the database, and once more in its log.
        FileNotFoundError, GalleryError: as `open_found`.
    """
    with open_found(folder) as gallery:
        before = (folder / DATABASE).stat().st_size
        gallery.compact()
    return before, (folder / DATABASE).stat().st_size
