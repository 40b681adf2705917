"""Collections behave alike in folders and in the shared store, and are the same for all replicas."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from index import (
    Collections,
    DuplicateCollectionError,
    FixedCollectionError,
    Gallery,
    GalleryClosedError,
    InvalidCollectionError,
    LocalCollections,
    Quota,
    TooManyCollectionsError,
    UnknownCollectionError,
)
from index.shared import SharedCollections, SharedQuotas, SharedStore, collections
from tests.index.samples import Open
from tests.index.shared.conftest import HOMES


class Kept:
    """What a collection has outside the store: by token, for all replicas."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()

    def replica(self, store: SharedStore, opening: Callable[[], object] = lambda: None) -> SharedCollections:
        def open_gallery(token: str) -> Gallery:
            opening()
            self.tokens.add(token)
            return cast(Gallery, Opened(SharedQuotas(store, token)))

        default = cast(Gallery, Opened(SharedQuotas(store, "default")))
        return SharedCollections(store, default, open_gallery, self.tokens.discard)


class Opened:
    """A gallery that somebody has open."""

    def __init__(self, quotas: SharedQuotas) -> None:
        self.quotas = quotas
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(params=HOMES)
def its(request: pytest.FixtureRequest) -> Iterator[Collections]:
    if request.param == "shared":
        yield Kept().replica(request.getfixturevalue("store"))
        return
    open_gallery: Open = request.getfixturevalue("open_gallery")
    folder: Path = request.getfixturevalue("folder")
    found = LocalCollections(folder, open_gallery(), lambda path: open_gallery(path))
    yield found
    found.close()


def test_a_collection_is_made_found_and_dropped(its: Collections) -> None:
    assert its.names() == ["default"]
    made = its.create("south", Quota(images=3))
    its.create("north", Quota())
    assert its.names() == ["default", "north", "south"]
    assert [name for name, _ in its.items()] == its.names()
    assert its.get("south") is made
    assert made.quotas.quota() == Quota(images=3)
    its.drop("south")
    assert its.names() == ["default", "north"]
    with pytest.raises(UnknownCollectionError):
        its.get("south")
    with pytest.raises(UnknownCollectionError):
        its.drop("south")
    again = its.create("south", Quota())
    assert again.quotas.quota() == Quota(), "it is another one"


def test_what_cannot_be_made_or_dropped_is_refused(its: Collections, monkeypatch: Any) -> None:
    its.create("north", Quota())
    for name in ("north", "default"):
        with pytest.raises(DuplicateCollectionError):
            its.create(name, Quota())
    for name in ("", "North", "a/b", "-a", "a" * 64):
        with pytest.raises(InvalidCollectionError):
            its.create(name, Quota())
    with pytest.raises(FixedCollectionError):
        its.drop("default")
    for module in ("index.collections", "index.shared.collections"):
        monkeypatch.setattr(f"{module}.MOST", 1)
    with pytest.raises(TooManyCollectionsError):
        its.create("south", Quota())
    assert its.names() == ["default", "north"]


def test_what_a_dropped_collection_had_is_to_leave_the_file_of_the_store(
    store: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[bytes | None] = []
    its = Kept().replica(store)
    its.create("north", Quota(images=3))
    with store.client() as client:
        token = client.hget(store.key("collections"), "north").decode()

    def note() -> None:
        with store.client() as client:
            wanted.extend(client.keys(store.key("collection", token, "*")))
        wanted.append(None)

    monkeypatch.setattr(store.rewriting, "wanted", note)
    its.drop("north")
    assert wanted == [None], "asked once nothing of it is left"


def test_one_of_several_replicas_makes_a_collection_and_all_have_it(
    connect: Callable[[], SharedStore],
) -> None:
    kept = Kept()
    replicas = [kept.replica(connect()) for _ in range(3)]

    def create(replica: SharedCollections) -> bool:
        try:
            replica.create("north", Quota(images=1))
        except DuplicateCollectionError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(create, replicas)) == 1
    assert len(kept.tokens) == 1, "what the others made is gone"
    held = [cast(Any, replica.get("north")) for replica in replicas]
    assert [one.quotas.quota() for one in held] == [Quota(images=1)] * 3
    replicas[0].drop("north")
    assert kept.tokens == set()
    with pytest.raises(UnknownCollectionError):
        replicas[1].get("north")
    assert replicas[2].items() == [("default", replicas[2].get("default"))]
    assert held[2].is_closed, "a replica lets go of what another one dropped"


def test_a_collection_that_is_dropped_while_another_replica_opens_it_stays_dropped(
    connect: Callable[[], SharedStore],
) -> None:
    kept = Kept()
    first = kept.replica(connect())
    drops = iter([lambda: first.drop("north")])
    second = kept.replica(store := connect(), lambda: next(drops, lambda: None)())
    first.create("north", Quota(images=1))
    with pytest.raises(UnknownCollectionError):
        second.get("north")
    assert kept.tokens == set()
    with store.client() as client:
        assert client.keys("*") == []
    assert second.names() == ["default"]


def test_a_start_opens_all_and_one_that_is_slow_holds_up_no_other(
    connect: Callable[[], SharedStore],
) -> None:
    kept = Kept()
    first = kept.replica(connect())
    for number in range(5):
        first.create(f"c{number}", Quota())
    together = threading.Barrier(5)
    second = kept.replica(connect(), lambda: together.wait(20))
    assert [name for name, _ in second.items()] == ["default", *(f"c{number}" for number in range(5))]


def test_what_a_killed_replica_left_is_removed_at_a_later_start(
    connect: Callable[[], SharedStore], monkeypatch: Any
) -> None:
    kept = Kept()
    first = kept.replica(connect())
    first.create("north", Quota(images=5))
    [token] = kept.tokens

    class Killed(BaseException):
        pass

    def die(_self: object, _token: str) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(SharedCollections, "_finish", die)
        with pytest.raises(Killed):
            first.drop("north")
    kept.replica(connect())
    assert kept.tokens == {token}, "it may be under way"
    monkeypatch.setattr(collections, "UNFINISHED_S", -1)
    kept.replica(store := connect())
    assert kept.tokens == set()
    with store.client() as client:
        assert client.keys("*") == []


def test_after_a_close_none_is_opened(store: SharedStore) -> None:
    its = Kept().replica(store)
    made = cast(Any, its.create("north", Quota()))
    its.close()
    assert made.is_closed
    with pytest.raises(GalleryClosedError):
        its.get("north")
