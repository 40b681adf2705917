"""A gallery takes another one's place in one step, with nobody in between."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from index import DuplicateImageError, GalleryHeader, GalleryLockedError, GalleryReplacementError
from index.database.connections import DATABASE
from index.upkeep.replacement import STAGING, replacement
from tests.index.samples import DIM, STRIPS, Open, enrollment

HEADER = GalleryHeader("model-b", DIM, STRIPS)


@pytest.fixture
def filled(open_gallery: Open, folder: Path) -> Path:
    """The folder of a closed gallery of model-a that has changed since its snapshot."""
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment("a"), enrollment("b")])
        gallery.snapshot()
        gallery.delete("b")
    return folder


def _replace(folder: Path) -> None:
    with replacement(folder, HEADER) as (old, new):
        new.enroll_many([enrollment(record.image_id) for record in old.page().records])
        new.enroll(enrollment("z"))


def test_the_new_gallery_is_opened_from_its_own_snapshot(
    filled: Path, open_gallery: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _replace(filled)
    assert not (filled / STAGING).exists()
    monkeypatch.setattr("index.vectors.recovery.rebuild", lambda *_: pytest.fail("rebuilt"))
    with open_gallery(fingerprint="model-b") as gallery:
        assert [record.image_id for record in gallery.page().records] == ["a", "z"]
        assert gallery.changes_since_snapshot() == 0
    assert caplog.records == []


def test_a_gallery_that_does_not_become_complete_changes_nothing(filled: Path, open_gallery: Open) -> None:
    with pytest.raises(DuplicateImageError), replacement(filled, HEADER) as (_, new):
        new.enroll_many([enrollment("z"), enrollment("z")])
    with open_gallery() as gallery:
        assert [record.image_id for record in gallery.page().records] == ["a"]
    _replace(filled)
    with open_gallery(fingerprint="model-b") as gallery:
        assert gallery.count() == 2


def test_nobody_is_let_in_before_the_new_gallery_has_the_old_ones_place(
    filled: Path, open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, refused = Path.replace, []

    def replace_and_try(path: Path, target: Path) -> Path:
        with pytest.raises(GalleryLockedError):
            open_gallery()
        refused.append(target)
        return replace(path, target)

    with replacement(filled, HEADER):
        with pytest.raises(GalleryLockedError):
            open_gallery()
        monkeypatch.setattr(Path, "replace", replace_and_try)
    monkeypatch.undo()
    assert refused[-2:] == [filled / DATABASE, filled / "snapshot"]
    open_gallery(fingerprint="model-b")


def test_a_database_that_another_program_has_open_is_not_replaced(filled: Path, open_gallery: Open) -> None:
    with closing(sqlite3.connect(filled / DATABASE)) as another:
        another.execute("SELECT count(*) FROM record").fetchone()
        with pytest.raises(GalleryReplacementError, match=f"{DATABASE} is in use by another program"):
            _replace(filled)
    with open_gallery() as gallery:
        assert [record.image_id for record in gallery.page().records] == ["a"]
        assert gallery.changes_since_snapshot() == 1
