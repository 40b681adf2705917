"""Galleries that were given one object store keep apart: none removes or opens what is another's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from index import GalleryError
from index.milvus import collection, opening
from index.milvus.connection import MilvusError
from index.milvus.engine import Engine
from index.milvus.local_companions import local_companions
from index.milvus.memory_verdicts import MemoryVerdicts
from index.milvus.place import OWNER, ForeignObjectsError, Place, clear_removed, description
from index.milvus.sweep import sweep
from index.objects import FsspecObjects, open_objects
from tests.index.milvus.kept import HNSW, OnMilvus
from tests.index.samples import DIM, STRIPS, enrollment

OPENING: dict[str, Any] = {"fingerprint": "model-a", "descriptor_dim": DIM, "strips_shape": STRIPS}
BEFORE = {"lka-reid": 1, "name": "lka_reid_default-44"}


class Rows:
    """An engine with these rows alone, for a sweep."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def rows(self, *_asked: Any, **_more: Any) -> Iterator[dict[str, Any]]:
        return iter([{"record_id": number, "frame": f"frame/{number}"} for number in self.numbers])


@pytest.fixture
def store(tmp_path: Path) -> FsspecObjects:
    pytest.importorskip("fsspec", reason="fsspec is of the extra [milvus]; `make servers` installs it")
    return open_objects(str(tmp_path / "objects"))


def swept(place: Place, *numbers: int) -> int:
    """How many objects a sweep removes of a gallery with these rows."""
    verdicts = local_companions(lambda _image_id: None, DIM).verdicts
    assert isinstance(verdicts, MemoryVerdicts)
    return sweep(cast(Engine, Rows(*numbers)), place, verdicts, grace_s=-1).objects


def fill(place: Place, *numbers: int) -> None:
    folders = ("image", "strips", "frame")
    place.objects.write({f"{folder}/{number}": b"x" for number in numbers for folder in folders})


def names(store: FsspecObjects, folder: str) -> set[str]:
    return {one.name for one in store.under(folder)}


def test_new_galleries_have_a_folder_below_their_prefix_which_they_own(store: FsspecObjects) -> None:
    one, other = (Place.of(store, description(prefix, "default"), "default") for prefix in ("a", "b"))
    for place in (one, other):
        place.open()
        place.open()
        fill(place, 1, 2)
    assert (one.folder, other.folder) == ("a/default", "b/default")
    assert swept(one, 1) == 3
    assert names(store, "a") == {
        "a/default/owner",
        *(f"a/default/{each}/1" for each in ("image", "strips", "frame")),
    }
    assert len(names(store, "b")) == 7


def test_what_another_gallery_owns_is_neither_opened_nor_swept(store: FsspecObjects) -> None:
    owner, other = (Place.of(store, description("a", "default"), "default") for _ in range(2))
    owner.open()
    fill(owner, 1)
    with pytest.raises(
        ForeignObjectsError, match=r"below 'a/default' .* belong to another gallery"
    ) as caught:
        other.open()
    assert f"remove the object a/default/{OWNER}" in str(caught.value)
    assert swept(other) == 0
    assert len(names(store, "a")) == 4
    owner.objects.remove([OWNER])
    assert swept(owner) == 0
    owner.open()
    assert swept(owner) == 3


def test_a_gallery_of_before_stays_where_it_is_and_takes_what_is_its_alone(store: FsspecObjects) -> None:
    place = Place.of(store, BEFORE, "default")
    assert (place.folder, place.is_old) == ("default", True)
    place.open()
    assert place.owner() is None
    fill(place, 1)
    assert swept(place, 1) == 0
    assert place.owner() == "lka_reid_default-44"
    fill(place, 2)
    assert swept(place, 1) == 3


def test_galleries_of_before_that_share_a_folder_remove_nothing_of_each_other(
    store: FsspecObjects, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = (
        Place.of(store, BEFORE | {"name": name}, "default") for name in ("a_default-1", "b_default-2")
    )
    fill(one, 1)
    fill(other, 2)
    with caplog.at_level(logging.WARNING):
        assert (swept(one, 1), swept(other, 2)) == (0, 0)
    assert len(names(store, "default")) == 6
    assert "3 objects there are of no image of this gallery" in caplog.text
    assert "write a_default-1 into the object default/owner" in caplog.text
    one.take()
    with pytest.raises(ForeignObjectsError):
        other.open()
    assert swept(other, 2) == 0


@pytest.mark.parametrize("collection", ["default", "0123456789abcdef"])
def test_removing_a_gallery_removes_its_objects_and_no_others(store: FsspecObjects, collection: str) -> None:
    is_default = collection == "default"
    described = {prefix: description(prefix, collection) for prefix in ("a", "b")}
    old = Place.of(store, BEFORE, collection)
    places = [old, *(Place.of(store, one, collection) for one in described.values())]
    for place in places:
        place.open()
        fill(place, 1)
    clear_removed(store, "a", collection, description("a", collection), is_default=is_default)
    assert len(names(store, "a")) == 4, "another gallery owns it"
    clear_removed(store, "a", collection, described["a"], is_default=is_default)
    assert names(store, "a") == set()
    assert (len(names(store, "b")), len(names(store, collection))) == (4, 3)
    clear_removed(store, "a", collection, None, is_default=is_default)
    assert (len(names(store, "b")), len(names(store, collection))) == (4, 3 if is_default else 0)


@pytest.mark.milvus
def test_galleries_under_two_prefixes_keep_their_images(on_milvus: OnMilvus) -> None:
    one, other = on_milvus(), on_milvus("hnsw", setup={"index": HNSW})
    for gallery, name in ((one, "a"), (other, "b")):
        gallery.enroll(enrollment(name))
    assert [gallery.sweep(grace_s=-1, settle_s=0).objects for gallery in (one, other)] == [0, 0]
    for gallery, name in ((one, "a"), (other, "b")):
        assert gallery.image(name)[0] == enrollment(name).image
    again = on_milvus()
    assert again.image("a")[0] == enrollment("a").image


@pytest.mark.milvus
def test_galleries_of_before_keep_opening_and_keep_their_images(
    on_milvus: OnMilvus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(collection, "SCHEMA_VERSION", 1)
        before.setattr(opening, "description", lambda _prefix, _collection: {})
        one, other = on_milvus("before"), on_milvus("before_too")
    for gallery, name in ((one, "a"), (other, "b")):
        gallery.enroll(enrollment(name))
    assert len(list((tmp_path / "objects" / "d8-2x3" / "image").iterdir())) == 2
    one, other = on_milvus("before"), on_milvus("before_too")
    assert [gallery.sweep(grace_s=-1, settle_s=0).objects for gallery in (one, other)] == [0, 0]
    for gallery, name in ((one, "a"), (other, "b")):
        assert gallery.image(name)[0] == enrollment(name).image
    with pytest.raises(GalleryError, match="look elsewhere"):
        on_milvus("before", refuse_old="look elsewhere")
    other.delete("b")
    assert one.sweep(grace_s=-1, settle_s=0).objects == 0
    one.enroll(enrollment("c"))
    one._objects.write({"image/1": b"of a process that died"})
    assert one.sweep(grace_s=-1, settle_s=0).objects == 1
    with pytest.raises(ForeignObjectsError):
        on_milvus("before_too")


@pytest.mark.milvus
def test_a_version_of_before_does_not_take_a_new_gallery_for_its_own(
    on_milvus: OnMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_milvus().enroll(enrollment("a"))
    monkeypatch.setattr(collection, "READ", (1,))
    with pytest.raises(MilvusError, match="was not made by this version"):
        on_milvus()
