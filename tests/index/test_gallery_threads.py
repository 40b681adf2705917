"""Many threads may use one gallery, and an index that fails to follow is never left wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import numpy as np
import pytest

from index import DuplicateImageError, Enrollment, GalleryClosedError, LocalGallery, UnknownImageError
from index.database.descriptors import as_stored
from tests.index.samples import Open, enrollment


def _assert_agreement(gallery: LocalGallery) -> None:
    np.testing.assert_array_equal(gallery._vectors.ids(), gallery._store.changes.ids())
    assert gallery._vectors.sequence == gallery._store.changes.last()
    assert gallery.count() == gallery._vectors.count


def _nearest(gallery: LocalGallery, enrollment: Enrollment) -> str:
    [[match]] = gallery.search(enrollment.descriptor[np.newaxis], k=1)
    return match.record.image_id


@pytest.mark.slow
def test_enroll_search_and_delete_from_many_threads_stay_right(open_gallery: Open) -> None:
    gallery = open_gallery(snapshot_every=20)
    kept = [enrollment(f"kept-{n}") for n in range(20)]
    gallery.enroll_many(kept)
    probes = np.stack([one.descriptor for one in kept])
    writing = threading.Event()
    writing.set()

    def write(worker: int) -> None:
        for n in range(15):
            mine = enrollment(f"{worker}-{n}")
            gallery.enroll(mine)
            assert _nearest(gallery, mine) == mine.image_id
            assert gallery.image(mine.image_id) == (mine.image, mine.media_type)
            if n % 3:
                gallery.delete(mine.image_id)
                assert _nearest(gallery, mine) != mine.image_id

    def read() -> None:
        while writing.is_set():
            for n, matches in enumerate(gallery.search(probes, k=20)):
                names = [match.record.image_id for match in matches]
                similarities = [match.similarity for match in matches]
                assert len(set(names)) == 20
                assert names[0] == kept[n].image_id
                assert similarities == sorted(similarities, reverse=True)
            listed = [record.image_id for record in gallery.page(limit=1000).records]
            assert listed[:20] == [one.image_id for one in kept]

    with ThreadPoolExecutor(7) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        writers = [threads.submit(write, worker) for worker in range(5)]
        try:
            for writer in writers:
                writer.result()
        finally:
            writing.clear()
        for reader in readers:
            reader.result()

    expected = {one.image_id for one in kept} | {f"{w}-{n}" for w in range(5) for n in range(0, 15, 3)}
    for _ in range(2):
        assert {record.image_id for record in gallery.page(limit=1000).records} == expected
        _assert_agreement(gallery)
        gallery.close()
        gallery = open_gallery()


@pytest.mark.slow
def test_matches_are_of_one_enrollment_while_their_images_are_deleted_and_enrolled_anew(
    open_gallery: Open,
) -> None:
    gallery = open_gallery()
    rounds = 40
    probe = enrollment("probe").descriptor
    names = "abc"
    done = threading.Event()

    def numbered(name: str, number: int) -> Enrollment:
        other = enrollment(f"{name} {number}")
        return enrollment(name, vehicle_id=str(number), descriptor=other.descriptor, strips=other.strips)

    def churn(name: str) -> None:
        for number in range(1, rounds):
            gallery.delete(name)
            gallery.enroll(numbered(name, number))

    def search() -> int:
        seen = set()
        while not done.is_set():
            [matches] = gallery.search(probe[np.newaxis], k=5, strips=5)
            for match in matches:
                given = numbered(match.record.image_id, int(match.record.vehicle_id or 0))
                [stored] = as_stored(given.descriptor[np.newaxis])
                assert match.similarity == pytest.approx(float(probe @ stored), abs=1e-6)
                np.testing.assert_array_equal(np.asarray(match.strips), np.asarray(given.strips))
                seen.add(match.record_id)
        return len(seen)

    gallery.enroll_many([numbered(name, 0) for name in names])
    with ThreadPoolExecutor(5) as threads:
        searching = [threads.submit(search) for _ in range(2)]
        churning = [threads.submit(churn, name) for name in names]
        try:
            for churned in churning:
                churned.result()
        finally:
            done.set()
        assert all(searched.result() > len(names) for searched in searching)


def test_of_threads_that_enroll_or_delete_the_same_image_exactly_one_succeeds(open_gallery: Open) -> None:
    gallery = open_gallery()

    def attempt(action: Callable[[], object]) -> bool:
        try:
            action()
        except (DuplicateImageError, UnknownImageError):
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        enrolled = threads.map(lambda _: attempt(lambda: gallery.enroll(enrollment("a"))), range(8))
        assert sum(enrolled) == 1
        _assert_agreement(gallery)
        deleted = threads.map(lambda _: attempt(lambda: gallery.delete("a")), range(8))
        assert sum(deleted) == 1
        _assert_agreement(gallery)


def test_closing_under_use_ends_every_call_properly(open_gallery: Open) -> None:
    gallery = open_gallery(snapshot_every=5)
    acknowledged: list[str] = []
    busy = threading.Semaphore(0)

    def use(worker: int) -> None:
        for n in range(100_000):
            acknowledged.append(gallery.enroll(enrollment(f"{worker}-{n}")).image_id)
            busy.release()
            gallery.search(enrollment("probe").descriptor[np.newaxis], k=3)

    with ThreadPoolExecutor(4) as threads:
        users = [threads.submit(use, worker) for worker in range(4)]
        for _ in range(12):
            busy.acquire()
        gallery.close()
        for user in users:
            with pytest.raises(GalleryClosedError):
                user.result()
    gallery = open_gallery()
    assert {record.image_id for record in gallery.page(limit=1000).records} == set(acknowledged)
    _assert_agreement(gallery)


def test_searches_go_on_while_a_snapshot_is_written(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    blocks = gallery._vectors.blocks
    searched: list[str] = []

    def blocks_and_search() -> Iterator[bytes | memoryview]:
        for block in blocks():
            with ThreadPoolExecutor(1) as threads:
                searched.append(threads.submit(_nearest, gallery, enrollment("a")).result())
            yield block

    monkeypatch.setattr(gallery._vectors, "blocks", blocks_and_search)
    gallery.snapshot()
    assert searched == ["a"]


def test_an_index_that_cannot_add_is_filled_anew_and_the_enrollment_stands(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    gallery.delete("a")
    add = faiss.IndexIDMap2.add_with_ids
    calls: list[int] = []

    def fail_once(index: Any, *arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        add(index, *arguments)

    monkeypatch.setattr(faiss.IndexIDMap2, "add_with_ids", fail_once)
    assert gallery.enroll(enrollment("c")).image_id == "c"
    assert len(calls) == 2
    assert "could not follow" in caplog.text
    _assert_agreement(gallery)
    assert _nearest(gallery, enrollment("c")) == "c"


def test_an_index_that_cannot_be_mended_refuses_to_search_until_it_can(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))

    def fail(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(faiss.IndexIDMap2, "add_with_ids", fail)
        gallery.enroll(enrollment("b"))
        assert gallery.get("b").image_id == "b"
        with pytest.raises(MemoryError):
            _nearest(gallery, enrollment("a"))
        with pytest.raises(MemoryError):
            gallery.snapshot()
    assert _nearest(gallery, enrollment("b")) == "b"
    _assert_agreement(gallery)


def test_an_index_that_holds_less_than_is_deleted_is_filled_anew(
    open_gallery: Open, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    gallery._vectors.remove(np.array([1]), sequence=gallery._vectors.sequence)
    gallery.delete("a")
    assert "could not follow" in caplog.text
    _assert_agreement(gallery)


def test_a_change_interrupted_after_its_commit_reaches_the_index(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    insert = gallery._store.insert

    def interrupted(*arguments: Any) -> None:
        insert(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(gallery._store, "insert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gallery.enroll(enrollment("a"))
    assert _nearest(gallery, enrollment("a")) == "a"
    _assert_agreement(gallery)


def test_a_commit_that_fails_changes_nothing(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    connection = gallery._store._connections.writer
    connection.execute("PRAGMA max_page_count = 1")  # as good as a full disk
    with pytest.raises(Exception, match="full"):
        gallery.enroll_many([enrollment("b", image=bytes(100_000))])
    connection.execute("PRAGMA max_page_count = 1000000")
    assert gallery.count() == 1
    _assert_agreement(gallery)
    assert gallery.enroll(enrollment("b")).image_id == "b"
