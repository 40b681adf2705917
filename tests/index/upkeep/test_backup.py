"""Backups are whole and of one moment, while the gallery is in use; a restore never overwrites anything."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from index import GalleryBackupError, GalleryLockedError
from index.database.connections import DATABASE
from index.retention import MOST_DAYS, Retention
from index.upkeep import backup
from index.upkeep.backup import MANIFEST, back_up, restore
from index.upkeep.statistics import statistics
from index.upkeep.verification import verify
from tests.index.samples import Open, earlier_version, enrollment


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "monday"


def test_what_was_backed_up_is_restored_whole(open_gallery: Open, folder: Path, target: Path) -> None:
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name) for name in "abc"])
        gallery.snapshot()
        gallery.delete("b")
        gallery.retention.set(MOST_DAYS)
        records = gallery.page().records
        progress: list[tuple[int, int]] = []
        # While it is open, with changes that are in the write-ahead log alone.
        made = back_up(folder, target, lambda done, total: progress.append((done, total)))
        gallery.enroll(enrollment("after"))
    assert (made.images, made.fingerprint, progress[-1][0]) == (2, "model-a", progress[-1][1])
    assert {stat.S_IMODE(file.stat().st_mode) for file in target.iterdir()} == {0o600}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    elsewhere = folder.parent / "elsewhere"
    assert restore(target, elsewhere) == made
    assert verify(elsewhere).findings == []
    with open_gallery(elsewhere) as restored:
        assert restored.page().records == records
        assert restored.image("a") == (enrollment("a").image, "image/png")
        assert restored.retention.state.days == MOST_DAYS
        assert [
            found[0].record.image_id for found in restored.search(enrollment("c").descriptor[None], k=1)
        ] == ["c"]


def test_a_backup_beside_changes_is_of_one_moment(open_gallery: Open, folder: Path, target: Path) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment(f"{n}", image=os.urandom(40000)) for n in range(40)])
    done = threading.Event()

    def change() -> None:
        for n in range(40, 400):
            # Two at a time: a backup with one of them alone would be of no moment.
            gallery.enroll_many([enrollment(f"{n}"), enrollment(f"{n} too")])
            if done.is_set():
                break

    thread = threading.Thread(target=change)
    thread.start()
    made = back_up(folder, target)
    done.set()
    thread.join()
    assert made.images % 2 == 0
    restore(target, folder.parent / "elsewhere")
    assert verify(folder.parent / "elsewhere").findings == []
    with open_gallery(folder.parent / "elsewhere") as restored:
        assert restored.count() == made.images


def test_a_gallery_of_an_earlier_version_is_backed_up_as_it_is(
    open_gallery: Open, folder: Path, target: Path
) -> None:
    earlier_version(3, "killed", folder)
    assert back_up(folder, target).schema_version == 3
    restore(target, folder.parent / "elsewhere")
    with open_gallery(folder.parent / "elsewhere") as restored:
        assert [record.image_id for record in restored.page().records] == list("adef")


def test_nothing_is_overwritten(open_gallery: Open, folder: Path, target: Path) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
    back_up(folder, target)
    before = (folder / DATABASE).read_bytes()
    with pytest.raises(GalleryBackupError, match="there is something at"):
        back_up(folder, target)
    with pytest.raises(GalleryBackupError, match="holds a gallery, or parts of one"):
        restore(target, folder)
    assert (folder / DATABASE).read_bytes() == before
    (folder / DATABASE).unlink()
    with pytest.raises(GalleryBackupError, match=r"parts of one \(gallery.acknowledged\)"):
        restore(target, folder)
    with pytest.raises(FileNotFoundError, match="there is no gallery"):
        back_up(folder, target.with_name("tuesday"))


def test_a_backup_that_is_not_what_was_written_is_refused_by_name(
    open_gallery: Open, folder: Path, target: Path, tmp_path: Path
) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
    back_up(folder, target)
    saved = target / DATABASE
    content = saved.read_bytes()
    for damaged in (content[:-1], content[:5000] + b"\xff" + content[5001:], b""):
        saved.write_bytes(damaged)
        with pytest.raises(GalleryBackupError, match=f"{DATABASE} is not what"):
            restore(target, tmp_path / "new")
        assert not (tmp_path / "new" / DATABASE).exists()
    for manifest in ("", "[]", "{}", json.dumps({"fingerprint": 3}), "[" * 100_000):
        (target / MANIFEST).write_text(manifest)
        with pytest.raises(GalleryBackupError, match="no backup's manifest"):
            restore(target, tmp_path / "new")
    with pytest.raises(GalleryBackupError, match="is no backup"):
        restore(tmp_path, tmp_path / "new")


def test_a_backup_that_was_interrupted_is_made_anew(
    open_gallery: Open, folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_sha256", interrupt)
    with pytest.raises(KeyboardInterrupt):
        back_up(folder, target)
    monkeypatch.undo()
    assert not target.exists()
    assert back_up(folder, target).images == 1
    assert [file.name for file in target.parent.iterdir()] == [target.name]


def test_a_disk_that_is_too_full_is_named_before_anything_is_written(
    open_gallery: Open, folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
    back_up(folder, target)
    monkeypatch.setattr(backup, "room", lambda _: (10**9, 1000))
    with pytest.raises(GalleryBackupError, match="must be free"):
        back_up(folder, target.with_name("tuesday"))
    with pytest.raises(GalleryBackupError, match="must be free"):
        restore(target, folder.parent / "elsewhere")
    assert not (folder.parent / "elsewhere" / DATABASE).exists()


def test_nobody_is_let_in_while_a_closed_gallery_is_backed_up(
    open_gallery: Open, folder: Path, target: Path
) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
    refused = []

    def try_to_open(_done: int, _total: int) -> None:
        with pytest.raises(GalleryLockedError):
            open_gallery()
        refused.append(True)

    back_up(folder, target, try_to_open)
    assert refused


def test_statistics_are_those_of_the_gallery(
    open_gallery: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The images are older than they are to be kept, and would be deleted in between.
    monkeypatch.setattr(Retention, "apply", lambda _: 0)
    gallery = open_gallery()
    gallery.enroll_many([enrollment("a"), enrollment("b", camera_id=None), enrollment("c", captured_at=None)])
    gallery.enroll(enrollment("d", image=enrollment("a").image))
    gallery.retention.set(90)
    found = statistics(folder)
    assert (found.images, found.vehicles, found.cameras, found.same_bytes) == (4, 4, 1, 2)
    assert (found.retention_days, found.change, found.log > 0) == (90, 4, True)
    assert found.captured_first == enrollment("a").captured_at
    assert found.first == gallery.get("a").enrolled_at
    gallery.close()
    shutil.rmtree(folder / "snapshot")
    assert statistics(folder).log == 0
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        assert statistics(folder).database == connection.execute("PRAGMA page_count").fetchone()[0] * 4096


def test_a_gallery_on_a_read_only_file_system_is_read_and_nothing_is_written(
    open_gallery: Open, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment("a"), enrollment("b")])
    monkeypatch.setattr("index.files.lock.is_read_only", lambda _: True)
    monkeypatch.setattr("index.files.lock.FolderLock", None)  # it writes who holds it
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert verify(folder).images == 2
    assert back_up(folder, tmp_path / "backup").images == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_gallery_that_is_open_elsewhere_is_in_use_on_a_read_only_file_system_too(
    open_gallery: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_gallery():
        monkeypatch.setattr("index.files.lock.is_read_only", lambda _: True)
        with pytest.raises(GalleryLockedError, match="in use by process"):
            verify(folder)
    assert verify(folder).findings == []
    (folder / "gallery.lock").unlink()
    assert verify(folder).findings == []
