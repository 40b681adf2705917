"""Watches of a gallery on this machine: over a kill, on the disk, and damaged; with those of a shared store
see `tests/index/shared/test_watch_homes.py`."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from index import LocalGallery
from index.database.connections import DATABASE
from index.local.watches import LocalWatches
from index.upkeep.verification import verify
from tests.index.killed import killed_after
from tests.index.samples import Open, enrollment
from tests.index.watch_samples import FILE, SECRET, of_file, raise_all, seen


@pytest.fixture
def gallery(open_gallery: Open) -> LocalGallery:
    opened = open_gallery()
    opened.enroll_many([enrollment(name) for name in "abc"])
    return opened


@pytest.fixture
def watches(gallery: LocalGallery) -> LocalWatches:
    return gallery.watches


def test_an_alert_that_an_acknowledged_enrollment_owes_outlives_a_kill(
    folder: Path, open_gallery: Open
) -> None:
    open_gallery().close()

    def work() -> LocalGallery:
        gallery = LocalGallery.open(folder, fingerprint="model-a", descriptor_dim=8, strips_shape=(2, 3))
        watch = gallery.watches.add(of_file())
        gallery.enroll(enrollment("a"))
        raise_all(gallery.watches, watch.id)
        gallery.enroll(enrollment("b"))
        return gallery

    killed_after(work)
    watches = open_gallery().watches
    [watch] = watches.all()
    assert len(raise_all(watches, watch.id)) == 1
    assert seen(watches) == ["b", "a"]


def test_nothing_of_a_watch_that_is_removed_or_whose_image_is_deleted_is_in_any_file(
    gallery: LocalGallery, watches: LocalWatches, folder: Path
) -> None:
    gallery.enroll(enrollment("same bytes", image=FILE))
    name, file, secret = "the-name-of-a-removed-watch", b"a file that no image has", f"{SECRET}-removed"
    removed = watches.add(of_file(name=name, data=file, secret=secret))
    watches.add(of_file())
    backup = folder / "backup-version-7"
    backup.mkdir()
    gallery.compact()
    shutil.copy(folder / DATABASE, backup / DATABASE)
    traces = [
        *(name.encode(), file, secret.encode(), FILE, b"stolen-van-of-last-night", SECRET.encode()),
        enrollment("watched").descriptor.astype("<f4").tobytes(),
    ]

    def left() -> list[bytes]:
        files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        return [trace for trace in traces if any(trace in content for content in files)]

    assert left() == traces
    watches.remove(removed.id)
    gallery.erase()
    assert left() == traces[3:]
    gallery.delete("same bytes")
    gallery.erase(in_use=False)
    gallery.close()
    assert left() == []
    assert (backup / DATABASE).is_file()


def test_a_file_of_a_watch_that_is_damaged_is_found_and_not_shown(
    gallery: LocalGallery, watches: LocalWatches, folder: Path
) -> None:
    watch = watches.add(of_file())
    gallery.close()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE watch SET data = ?", (b"another file",))
        connection.commit()
    texts = [finding.text for finding in verify(folder).findings]
    assert texts == [f"watch {watch.id}: its file is not as it was kept; remove the watch"]
