"""Opening a gallery on Milvus: for the model that it belongs to, by as many replicas as there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from index.cameras.estimation import Mode
from index.collections import DEFAULT
from index.errors import GalleryError
from index.milvus.collection import MilvusCollection
from index.milvus.companions import Companions, OpenCompanions
from index.milvus.connection import MilvusError, connect
from index.milvus.engine import Engine
from index.milvus.expression import EVERYTHING
from index.milvus.gallery import MilvusGallery
from index.milvus.indexes import MilvusIndex
from index.milvus.local_companions import local_companions
from index.milvus.place import Place, clear_removed, description
from index.milvus.writing import row_of
from index.objects import Objects, open_objects
from index.record import GalleryHeader

PREFIX: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class MilvusSetup:
    """Where a gallery's vectors and objects are.

    Attributes:
        url: of Milvus: `http://host:19530`, or the file of a Milvus Lite.
        objects_url: of the object store; see `index.objects.open_objects`.
        token: `user:password` or a key of Milvus; None where it asks for none.
        objects_options: of the object store: keys and endpoint.
        prefix: of the names of Milvus' collections, and of the objects'; two services on one Milvus have two.
        index: of the vectors.
        timeout_s: for each call of Milvus.
    """

    url: str
    objects_url: str
    token: str | None = field(default=None, repr=False)
    objects_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    prefix: str = "lka_reid"
    index: MilvusIndex = field(default_factory=MilvusIndex)
    timeout_s: float = 10.0


def open_milvus_gallery(
    setup: MilvusSetup,
    *,
    fingerprint: str,
    supersedes: Sequence[str] = (),
    descriptor_dim: int,
    strips_shape: tuple[int, int] | None,
    collection: str = "default",
    normalisation: Mode | None = None,
    open_companions: OpenCompanions | None = None,
    objects: Objects | None = None,
    refuse_old: str | None = None,
) -> MilvusGallery:
    """Open the gallery of a collection, which is made if absent.

    Args:
        setup: where it is.
        fingerprint: of the model.
        supersedes: fingerprints of models that give what this one gives.
        descriptor_dim: d.
        strips_shape: (s, w); None without a second stage.
        collection: its name, or what stands for it: a-z, 0-9, - and _.
        normalisation: `on` is refused; `auto` leaves descriptors as they are.
        open_companions: opens what is kept beside the vectors; None for one process alone, whose companions
            end with it, and which counts what there is at its opening.
        objects: the store of all collections' objects, instead of the one that `setup` names.
        refuse_old: with which words a gallery is refused that was made before prefixes parted more than
            Milvus' collections; None where it is opened.

    Raises:
        GalleryError: cameras are to be normalised; Milvus does not know the index, or has another one for
            this collection; the gallery belongs to another model, or its objects to another gallery.
        MilvusError, ObjectStoreError: one of them does not answer.
    """
    if normalisation == "on":
        raise GalleryError(
            "a gallery on Milvus does not normalise cameras, and LKA_REID_CAMERA_NORMALISATION is on; "
            "set it to off, or keep the gallery in a data directory"
        )
    shape = None if strips_shape is None else (strips_shape[0], strips_shape[1])
    header = GalleryHeader(fingerprint, descriptor_dim, shape)
    store = open_objects(setup.objects_url, setup.objects_options) if objects is None else objects
    client = connect(setup.url, setup.timeout_s, setup.token)
    try:
        about = description(setup.prefix, collection)
        made = MilvusCollection(
            client, collection_name(setup, collection), header, setup.index, setup.timeout_s, about
        )
        described = made.ensure()
        _check_header(described, header, supersedes)
        place = Place.of(store, described, collection)
        if place.is_old and refuse_old is not None:
            raise GalleryError(refuse_old)
        place.open()
        gallery = _opened(Engine(made), place, header, open_companions or local_companions)
        if open_companions is None:
            gallery.recount()
    except BaseException:
        client.close()
        raise
    gallery.opened()
    return gallery


def remove_milvus_gallery(setup: MilvusSetup, collection: str, objects: Objects | None = None) -> None:
    """Remove all that a collection has in Milvus and in the object store; it may be gone already.

    Raises MilvusError and ObjectStoreError.
    """
    store = open_objects(setup.objects_url, setup.objects_options) if objects is None else objects
    client = connect(setup.url, setup.timeout_s, setup.token)
    try:
        header = GalleryHeader("", 1, None)
        name = collection_name(setup, collection)
        removed = MilvusCollection(client, name, header, setup.index, setup.timeout_s)
        described = removed.described()
        removed.drop()
    finally:
        client.close()
    clear_removed(store, setup.prefix, collection, described, is_default=collection == DEFAULT)


def collection_name(setup: MilvusSetup, collection: str) -> str:
    """Of the Milvus collection of one of ours: letters, digits and _ alone, and of two ours two."""
    if not PREFIX.fullmatch(setup.prefix):
        raise MilvusError(
            f"the prefix of Milvus' collections is {setup.prefix!r}; it has 1 .. 63 of a-z, 0-9 and _, "
            "of which the first is a letter"
        )
    return f"{setup.prefix}_{collection.replace('_', '__').replace('-', '_m')}"


def _opened(
    engine: Engine, place: Place, header: GalleryHeader, open_companions: OpenCompanions
) -> MilvusGallery:
    companions: Companions = open_companions(_record_of(engine), header.descriptor_dim)
    # Where the clock went back, or the shared store was lost, numbers go on after the last one.
    last = _last_number(engine, companions.numbers.draw(1))
    if last is not None:
        companions.numbers.reach(last)
    return MilvusGallery(engine, place, companions, header)


def _last_number(engine: Engine, first: int) -> int | None:
    """The highest number of a row from `first` on, by doubling and halving; None where there is none."""

    def after(number: int) -> int | None:
        found = next(engine.rows(EVERYTHING, after=number, limit=1), None)
        return None if found is None else int(found["record_id"])

    low, step = after(first - 1), 0
    if low is None:
        return None
    while (higher := after(low + step)) is not None:
        low, step = higher, 2 * step + 1
    ceiling = low + step
    while low < ceiling:
        middle = (low + ceiling) // 2
        higher = after(middle)
        if higher is None:
            ceiling = middle
        else:
            low = higher
    return low


def _record_of(engine: Engine) -> Callable[[str], int | None]:
    def record_of(image_id: str) -> int | None:
        row = row_of(engine, image_id)
        return None if row is None else int(row["record_id"])

    return record_of


def _check_header(described: Mapping[str, Any], header: GalleryHeader, supersedes: Sequence[str]) -> None:
    found, shape = described.get("fingerprint"), described.get("strips_shape")
    if found not in (header.fingerprint, *supersedes):
        raise GalleryError(
            f"the gallery on Milvus was embedded by the model with fingerprint {found}, the bundle in "
            f"use has fingerprint {header.fingerprint}; start with that bundle, or with another prefix of "
            "Milvus' collections, and enroll the images again"
        )
    their_shape = None if shape is None else (int(shape[0]), int(shape[1]))
    theirs = GalleryHeader(str(found), int(described["descriptor_dim"]), their_shape)
    if theirs.shapes() != header.shapes():
        raise GalleryError(
            f"the gallery on Milvus stores {theirs.shapes()}, but was opened for {header.shapes()} under "
            "the same fingerprint; the bundle's manifest does not describe the model that filled it"
        )
