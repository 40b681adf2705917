"""What can go wrong with an object store."""

from __future__ import annotations

from index.errors import GalleryError


class ObjectStoreError(GalleryError):
    """The store cannot be used or does not answer; the message says what to look at."""


class UnknownObjectError(GalleryError):
    """There is no object of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the object store has no {name!r}")
        self.name = name
