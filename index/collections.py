"""The collections of a data directory: galleries of one model, each in a folder of its own.

`default` is the gallery in the data directory itself. Any other is a folder in `collections`: a whole gallery
with its own records, vectors, cameras and quota. Nothing is shared, so that the same image_id may be enrolled
in two collections, and a search is of one.

The order is the protocol. A new collection is made under a name that begins with a dot, and gets its own by a
rename, which is what creates it. One that is dropped gets such a name by a rename, which is what drops it;
then its files go. What a killed process has left under such names the next opening removes.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from index.errors import (
    DuplicateCollectionError,
    FixedCollectionError,
    GalleryClosedError,
    InvalidCollectionError,
    TooManyCollectionsError,
    UnknownCollectionError,
)
from index.files.disk import create_folder, sync
from index.gallery import Gallery
from index.quota import Quota, check_quota

DEFAULT: Final = "default"
FOLDER: Final = "collections"
MOST: Final = 64
"""Collections beside the default one; each has files, connections and memory of its own."""
NAME_RULE: Final = "1 .. 63 of a-z, 0-9, - and _, of which the first is a letter or a digit"

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

log = logging.getLogger(__name__)


class Collections(Protocol):
    """Galleries by name. All methods may be called from any thread, and may block."""

    def names(self) -> list[str]:
        """Of all, in order; the default one first."""

    def items(self) -> list[tuple[str, Gallery]]:
        """All, by name, in order; one that is dropped meanwhile is closed."""

    def get(self, name: str) -> Gallery:
        """The gallery of a collection. Raises UnknownCollectionError."""

    def create(self, name: str, quota: Quota) -> Gallery:
        """Make an empty collection, durably.

        Raises:
            InvalidCollectionError: the name is not one of NAME_RULE.
            DuplicateCollectionError: there is one of this name.
            TooManyCollectionsError: there are as many as can be.
            InvalidQuotaError: a limit is not 0 or more.
        """

    def drop(self, name: str) -> None:
        """Remove a collection and all that is in it, durably.

        Raises:
            UnknownCollectionError: there is none.
            FixedCollectionError: it is the default one.
        """


class LocalCollections:
    """The collections of a folder of this machine.

    Args:
        folder: the data directory, which belongs to this process.
        default: the gallery in it.
        open_gallery: opens the gallery in a folder, which is made if absent.

    Raises:
        GalleryError: one of them cannot be opened; those that were are closed, but for the default one.
    """

    def __init__(self, folder: Path, default: Gallery, open_gallery: Callable[[Path], Gallery]) -> None:
        self._folder = folder / FOLDER
        self._open_gallery = open_gallery
        self._lock = threading.Lock()  # of changes
        self._galleries: dict[str, Gallery] = {DEFAULT: default}
        self._closed = False
        try:
            self._sweep()
            for name, path in collection_folders(folder).items():
                self._galleries[name] = open_gallery(path)
        except BaseException:
            self.close()
            raise

    def names(self) -> list[str]:
        """Of all, in order; the default one first."""
        return [name for name, _ in self.items()]

    def items(self) -> list[tuple[str, Gallery]]:
        """All, by name, in order; the default one first."""
        return sorted(self._galleries.copy().items(), key=lambda item: (item[0] != DEFAULT, item[0]))

    def get(self, name: str) -> Gallery:
        """The gallery of a collection. Raises UnknownCollectionError."""
        found = self._galleries.get(name)
        if found is None:
            raise UnknownCollectionError(name)
        return found

    def create(self, name: str, quota: Quota) -> Gallery:
        """Make an empty collection; see `Collections.create`."""
        if not NAME.fullmatch(name):
            raise InvalidCollectionError(name, NAME_RULE)
        check_quota(quota)
        with self._changing():
            if name in self._galleries:
                raise DuplicateCollectionError(name)
            if len(self._galleries) > MOST:
                raise TooManyCollectionsError(MOST)
            self._make(name, quota)
            self._galleries[name] = self._open_gallery(self._folder / name)
            return self._galleries[name]

    def drop(self, name: str) -> None:
        """Remove a collection and all that is in it; see `Collections.drop`."""
        with self._changing():
            if name == DEFAULT:
                raise FixedCollectionError(name)
            gallery = self.get(name)
            del self._galleries[name]
            gallery.close()
            aside = self._folder / f".dropped-{secrets.token_hex(8)}"
            try:
                (self._folder / name).replace(aside)
                sync(self._folder)
            except OSError:
                # It is there as it was.
                self._galleries[name] = self._open_gallery(self._folder / name)
                raise
            _remove(aside)

    def close(self) -> None:
        """Close all but the default one. Idempotent."""
        with self._lock:
            self._closed = True
            for name in self._galleries.keys() - {DEFAULT}:
                self._galleries[name].close()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise GalleryClosedError
            yield

    def _make(self, name: str, quota: Quota) -> None:
        create_folder(self._folder)
        staging = self._folder / f".new-{secrets.token_hex(8)}"
        try:
            made = self._open_gallery(staging)
            try:
                made.quotas.set(quota)
            finally:
                made.close()
            staging.replace(self._folder / name)
            sync(self._folder)
        finally:
            if staging.exists():
                _remove(staging)

    def _sweep(self) -> None:
        """Remove what is not yet, or no longer, a collection."""
        for path in self._folder.glob(".*"):
            log.info("removing %s, which a process that ended has left", path)
            _remove(path)


def collection_folders(folder: Path) -> dict[str, Path]:
    """The folders of all collections of a data directory but the default one, by name, in order."""
    found = {}
    for path in sorted((folder / FOLDER).glob("[!.]*")):
        if path.is_dir() and NAME.fullmatch(path.name):
            found[path.name] = path
        else:
            log.warning("%s is no collection and left alone", path)
    return found


def _remove(path: Path) -> None:
    """Remove a folder; where it cannot be now, the next opening does."""
    try:
        shutil.rmtree(path)
    except OSError:
        log.exception("%s cannot be removed; the next start tries again", path)
