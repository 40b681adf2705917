"""Galleries apart, each with a quota of its own."""

from __future__ import annotations

from lka_reid_client.answers import CollectionAnswer, CollectionsAnswer
from lka_reid_client.call import Call, given
from lka_reid_client.calls.parsing import model, nothing
from lka_reid_client.naming import path_of, segment


def collections() -> Call[CollectionsAnswer]:
    """The collections that the key reaches, the default one first."""
    return Call("GET", "/collections", model(CollectionsAnswer), of_collection=False)


def collection_named(name: str) -> Call[CollectionAnswer]:
    """A collection, with what it holds and may hold."""
    return Call("GET", _path(name), model(CollectionAnswer), of_collection=False)


def create_collection(
    name: str, *, max_images: int | None = None, max_bytes: int | None = None
) -> Call[CollectionAnswer]:
    """Make an empty collection; a limit that is not given is none."""
    return Call(
        "POST",
        "/collections",
        model(CollectionAnswer),
        form=given({"name": name, "max_images": max_images, "max_bytes": max_bytes}),
        of_collection=False,
    )


def set_quota(
    name: str, *, max_images: int | None = None, max_bytes: int | None = None
) -> Call[CollectionAnswer]:
    """Set both limits of a collection; one that is not given is none."""
    return Call(
        "PUT",
        f"{_path(name)}/quota",
        model(CollectionAnswer),
        # Without any there is no form, which takes both limits away.
        form=given({"max_images": max_images, "max_bytes": max_bytes}),
        of_collection=False,
    )


def drop_collection(name: str) -> Call[None]:
    """Drop a collection and all that is in it."""
    return Call("DELETE", _path(name), nothing, of_collection=False)


def _path(name: str) -> str:
    return path_of("collections", segment(name))
