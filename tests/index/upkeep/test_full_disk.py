"""On a disk that is full upkeep says so, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from index import GalleryBackupError, GalleryFullError, LocalGallery
from index.upkeep.archive import export
from index.upkeep.archive_reader import ArchiveReader
from index.upkeep.backup import back_up, restore
from index.upkeep.folder import compact
from index.upkeep.importing import Became, import_archive
from index.upkeep.verification import verify
from tests.index.disks import Room, fill, small_disk
from tests.index.samples import Open, enrollment


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    yield from small_disk(tmp_path / "disk", "6m")


def _filled(gallery: LocalGallery, count: int, size: int) -> None:
    gallery.enroll_many([enrollment(f"{n}", image=os.urandom(size)) for n in range(count)])


def test_an_import_that_finds_no_room_keeps_what_it_told_and_is_gone_on_with(
    disk: Path, open_gallery: Open, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.upkeep.importing.AT_ONCE", 1)
    with open_gallery() as gallery:
        _filled(gallery, 30, 200_000)
    export(folder, tmp_path / "gallery.zip")
    imported: list[tuple[str, Became]] = []

    def bring_in() -> None:
        with ArchiveReader(tmp_path / "gallery.zip") as reader:
            for image_id, became, _ in import_archive(reader, disk / "new"):
                imported.append((image_id, became))

    with pytest.raises(GalleryFullError):
        bring_in()
    assert 0 < len(imported) < 30
    assert verify(disk / "new").findings == []
    with open_gallery(disk / "new") as gallery:
        assert [(record.image_id, Became.enrolled) for record in gallery.page().records] == imported


def test_a_compaction_that_finds_no_room_leaves_the_database(disk: Path, open_gallery: Open) -> None:
    folder = disk / "gallery"
    with open_gallery(folder) as gallery:
        for number in range(12):
            gallery.enroll(enrollment(f"{number}", image=os.urandom(200_000)))
    with pytest.raises(GalleryFullError):
        compact(folder)
    filler = fill(disk)
    with pytest.raises(GalleryFullError):
        compact(folder)
    filler.unlink()
    assert verify(folder).findings == []
    with open_gallery(folder) as gallery:
        assert gallery.count() == 12


def test_erasing_waits_for_room_and_says_what_is_waiting(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    _filled(gallery, 12, 300)
    for number in range(0, 12, 2):
        gallery.delete(f"{number}")
    gallery._store._writer.execute("PRAGMA secure_delete = OFF")
    gallery.delete("1")
    room = Room(monkeypatch)
    room.free = 0
    with pytest.raises(GalleryFullError):
        gallery.erase()
    assert gallery.unerased_seconds() > 0
    room.free = 10**9
    gallery.erase()
    assert gallery.unerased_seconds() == 0
    assert gallery.count() == 5


@pytest.mark.parametrize("what", ["backup", "archive"])
def test_what_is_saved_to_a_full_disk_is_not_taken_for_whole(
    what: str, disk: Path, open_gallery: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery()
    _filled(gallery, 40, 200_000)
    # As if there were room when it was looked at.
    monkeypatch.setattr("index.upkeep.backup.room", lambda _: (10**9, 10**9))
    save = back_up if what == "backup" else export
    with pytest.raises((GalleryFullError, GalleryBackupError)):
        save(folder, disk / "saved")
    assert not (disk / "saved").exists()
    with pytest.raises(GalleryBackupError):
        restore(disk / "saved", disk / "new")
    assert gallery.count() == 40
