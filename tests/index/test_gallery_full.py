"""On a full disk nothing is enrolled, everything else goes on, and so does enrolling once there is room."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index import GalleryFullError, LocalGallery
from index.files.space import RESERVE, Space
from tests.index.disks import Room, fill, small_disk
from tests.index.samples import Open, enrollment


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(monkeypatch)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    yield from small_disk(tmp_path / "disk", "6m")


def _names(gallery: LocalGallery) -> list[str]:
    names = [record.image_id for record in gallery.page(limit=1000).records]
    np.testing.assert_array_equal(gallery._vectors.ids(), gallery._store.changes.ids())
    return names


def _found(gallery: LocalGallery, name: str) -> bool:
    [matches] = gallery.search(enrollment(name).descriptor[np.newaxis], k=1, strips=1)
    return [match.record.image_id for match in matches] == [name]


def _enroll_all_that_fit(gallery: LocalGallery) -> list[str]:
    for number in range(100):
        try:
            gallery.enroll(enrollment(f"{number}", image=bytes([number]) * 100_000))
        except GalleryFullError:
            break
    return [f"{enrolled}" for enrolled in range(number)]


def test_without_room_nothing_is_enrolled_and_all_else_goes_on(open_gallery: Open, room: Room) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment(name) for name in "abc"])
    assert gallery.fault() is None
    room.free = 1000
    with pytest.raises(GalleryFullError, match=r"1,000 bytes are free .* make room on the disk, or delete"):
        gallery.enroll(enrollment("d"))
    assert "the disk is full" in str(gallery.fault())
    gallery.delete("a")
    assert _found(gallery, "b")
    assert gallery.image("c")[0] == enrollment("c").image
    room.free = room.total
    assert gallery.fault() is None
    gallery.enroll(enrollment("d"))
    assert _names(gallery) == list("bcd")


def test_what_an_image_needs_counts_before_it_is_written(open_gallery: Open, room: Room) -> None:
    gallery = open_gallery()
    room.free = 20 << 20
    gallery.enroll(enrollment("a"))
    with pytest.raises(GalleryFullError):
        gallery.enroll(enrollment("b", image=bytes(4 << 20)))
    assert "the disk is full" in str(gallery.fault())
    gallery.enroll(enrollment("c"))
    room.free = 30 << 20
    assert gallery.fault() is None
    assert _names(gallery) == ["a", "c"]


def test_deleting_makes_room_for_as_much(open_gallery: Open, room: Room) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a", image=bytes(4 << 20)))
    room.free = 21 << 20
    with pytest.raises(GalleryFullError):
        gallery.enroll(enrollment("b", image=bytes(4 << 20)))
    gallery.delete("a")
    gallery.enroll(enrollment("b", image=bytes(4 << 20)))


def test_a_write_that_finds_no_room_changes_nothing(open_gallery: Open) -> None:
    """SQLite's own word, where the disk filled up after it was looked at."""
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    writer = gallery._store._writer
    [pages] = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(GalleryFullError):
        gallery.enroll_many([enrollment("b"), enrollment("c", image=bytes(100_000))])
    assert _names(gallery) == ["a"]
    gallery.delete("a")
    writer.execute("PRAGMA max_page_count = 1000000")
    gallery.enroll_many([enrollment("b"), enrollment("c", image=bytes(100_000))])
    assert _names(gallery) == ["b", "c"]


def test_a_snapshot_waits_for_room(
    open_gallery: Open, room: Room, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = open_gallery(snapshot_every=2)
    gallery.enroll_many([enrollment(name) for name in "abc"])
    gallery.wait_for_snapshot()
    before = (folder / "snapshot" / "manifest.json").read_bytes()
    room.free = 1000
    gallery.delete("a")
    gallery.delete("b")
    gallery.wait_for_snapshot()
    assert "snapshot of the vector index was not written: the disk is full" in caplog.text
    assert (folder / "snapshot" / "manifest.json").read_bytes() == before


def test_a_reserve_is_given_back_on_a_full_disk_and_taken_again_later(folder: Path, room: Room) -> None:
    folder.mkdir()
    space = Space(folder)
    assert not (folder / RESERVE).exists()
    space.hold()
    held = (folder / RESERVE).stat().st_size
    assert held > 500_000
    room.free = held + 1
    assert space.fault() is not None
    assert (folder / RESERVE).stat().st_size == held
    room.free = 0
    assert space.fault() is not None
    assert (folder / RESERVE).stat().st_size == 0
    room.free = held
    space.fault()
    assert (folder / RESERVE).stat().st_size == 0
    room.free = room.total
    assert space.fault() is None
    assert (folder / RESERVE).stat().st_size == held


def test_a_small_disk_is_filled_by_enrollments_and_then_by_others(disk: Path, open_gallery: Open) -> None:
    path = disk / "gallery"
    with open_gallery(path) as gallery:
        enrolled = _enroll_all_that_fit(gallery)
        assert len(enrolled) > 20
        filler = fill(disk)
        for number in range(100, 103):
            with pytest.raises(GalleryFullError):
                gallery.enroll(enrollment(f"{number}"))
        gallery.delete("0")
        gallery.delete("3")
        del enrolled[3], enrolled[0]
        assert _found(gallery, "7")
        assert gallery.fault() is not None
    with open_gallery(path) as gallery:
        assert _names(gallery) == enrolled
        assert gallery.fault() is not None
        filler.unlink()
        gallery.enroll(enrollment("later"))
        assert gallery.fault() is None
        assert _names(gallery) == [*enrolled, "later"]


def test_an_image_larger_than_the_reserve_is_deleted_on_a_full_disk(disk: Path, open_gallery: Open) -> None:
    path = disk / "gallery"
    with open_gallery(path) as gallery:
        gallery.enroll(enrollment("large", image=b"x" * (3 << 19)))
        gallery.enroll(enrollment("small"))
        assert (path / RESERVE).stat().st_size < 1 << 19
        filler = fill(disk)
        gallery.delete("large")
        assert _names(gallery) == ["small"]
        [mode] = gallery._store._writer.execute("PRAGMA secure_delete").fetchone()
        filler.unlink()
        gallery.enroll(enrollment("next", image=b"y" * (3 << 19)))
    with sqlite3.connect(":memory:") as usual:
        assert usual.execute("PRAGMA secure_delete").fetchone() == (mode,)
    with open_gallery(path) as gallery:
        assert _names(gallery) == ["small", "next"]


def test_opening_on_a_full_disk_says_so(disk: Path, open_gallery: Open) -> None:
    filler = fill(disk)
    with pytest.raises(GalleryFullError, match="the disk is full: 0 bytes are free"):
        open_gallery(disk / "gallery")
    filler.unlink()
    assert _names(open_gallery(disk / "gallery")) == []


def test_what_goes_on_beside_a_full_disk_tells_it_in_a_line(
    open_gallery: Open, room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("index.local.erasure.DELAY_S", 0.01)
    gallery = open_gallery()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    room.free = 1000
    gallery.delete("a")
    until = time.monotonic() + 20
    while not caplog.records:
        assert time.monotonic() < until
        time.sleep(0.01)
    [said] = caplog.records
    assert "is in some files still; erasing goes on: the disk is full" in said.getMessage()
    assert said.exc_info is None
    assert gallery.unerased_seconds() > 0
    room.free = room.total
    gallery.erase()
    assert gallery.unerased_seconds() == 0
