"""Where in the object store the objects of a gallery are, and whose they are.

A gallery that this version makes has its objects in a folder of its own, below the prefix of its Milvus
collection. The collection's description names the folder, so that it is found whatever comes later. Galleries
of before have theirs in a folder named after the collection alone, which galleries under other prefixes may
have, too. Those stay where they are.

The object `owner` of a folder says which gallery its objects belong to: that one alone opens and sweeps it. A
folder of before gets it once everything in it is seen to be of one gallery.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from index.errors import GalleryError
from index.milvus.row import FOLDERS
from index.objects import Objects, UnknownObjectError

OWNER: Final = "owner"
"""Name of the object that says whose a folder is."""

log = logging.getLogger(__name__)


class ForeignObjectsError(GalleryError):
    """A folder of the object store belongs to another gallery; the message says what to do."""


def description(prefix: str, collection: str) -> dict[str, str]:
    """What the description of a new Milvus collection says of its objects: their folder, and its own id."""
    return {"objects": f"{prefix}/{collection}", "gallery": secrets.token_hex(16)}


@dataclass(frozen=True)
class Place:
    """A folder of the object store.

    Attributes:
        objects: in it.
        folder: its name.
        gallery: the id that its owner has there, where it is this gallery's.
        is_old: whether galleries under other prefixes may have it, too.
    """

    objects: Objects
    folder: str
    gallery: str
    is_old: bool = False

    @classmethod
    def of(cls, store: Objects, described: Mapping[str, Any], collection: str) -> Self:
        """The place of a gallery's objects, by the description of its Milvus collection."""
        if "objects" in described:
            folder = str(described["objects"])
            return cls(store.below(folder), folder, str(described["gallery"]))
        return cls(store.below(collection), collection, str(described["name"]), is_old=True)

    def owner(self) -> str | None:
        """Whose it is; None where nothing says so. Raises ObjectStoreError."""
        try:
            return self.objects.read(OWNER).decode(errors="replace").strip()
        except UnknownObjectError:
            return None

    def open(self) -> None:
        """See that it is not another gallery's, and say that it is this one's.

        Raises:
            ForeignObjectsError: it is another one's.
            ObjectStoreError: the store does not answer.
        """
        if self.owner() is None and not self.is_old:
            self.take()
        owner = self.owner()
        if owner not in (None, self.gallery):
            raise ForeignObjectsError(
                f"the objects below {self.folder!r} of the store that LKA_REID_OBJECTS_URL names belong to "
                "another gallery: two of them, or two Milvus, were given one place; name another "
                "LKA_REID_OBJECTS_URL or LKA_REID_MILVUS_PREFIX. Where the other gallery is gone for good, "
                f"remove the object {self.folder}/{OWNER}"
            )

    def take(self) -> None:
        """Say that it is this gallery's. Raises ObjectStoreError."""
        self.objects.write({OWNER: self.gallery.encode()})

    def clear(self) -> None:
        """Remove all that is in it. Raises ObjectStoreError."""
        for folder in FOLDERS:
            self.objects.remove([one.name for one in self.objects.under(folder)])
        self.objects.remove([OWNER])


def clear_removed(
    store: Objects, prefix: str, collection: str, described: Mapping[str, Any] | None, *, is_default: bool
) -> None:
    """Remove the objects of a gallery whose Milvus collection is gone, or goes.

    Args:
        store: of all collections' objects.
        prefix: of the Milvus collection.
        collection: its name, or what stands for it.
        described: by its description; None where the collection was gone already.
        is_default: whether galleries under every prefix have a collection of this name.

    Raises:
        ObjectStoreError: the store does not answer.
    """
    if described is not None:
        places = [Place.of(store, described, collection)]
    elif is_default:
        return
    else:
        # A token is of one collection alone, wherever its objects are.
        folders = (f"{prefix}/{collection}", collection)
        places = [Place(store.below(folder), folder, "") for folder in folders]
    for place in places:
        if described is not None and (owner := place.owner()) not in (None, place.gallery):
            log.warning(
                "the objects below %r are left: they belong to another gallery, %s", place.folder, owner
            )
            continue
        place.clear()
