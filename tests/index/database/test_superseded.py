"""A gallery under a superseded fingerprint is brought to the present one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from index import (
    FingerprintMismatchError,
)
from index.database.connections import DATABASE
from index.vectors.snapshot import MANIFEST
from tests.index.database.earlier import assert_holds
from tests.index.samples import Open, enrollment


@pytest.mark.usefixtures("earlier")
def test_a_superseded_fingerprint_of_version_1_gets_the_new_one_for_good(open_gallery: Open) -> None:
    with open_gallery(fingerprint="model-b", supersedes=["model-x", "model-a"]) as gallery:
        assert_holds(gallery, "adef", "model-b")
    with open_gallery(fingerprint="model-b") as gallery:
        assert_holds(gallery, "adef", "model-b")
    with pytest.raises(FingerprintMismatchError):
        open_gallery(fingerprint="model-a")


def test_the_index_under_a_superseded_fingerprint_is_kept_and_renamed(
    open_gallery: Open, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name) for name in "abc"])
        gallery.snapshot()
        gallery.delete("b")
    with monkeypatch.context() as patched:
        patched.setattr("index.vectors.recovery.rebuild", lambda *_: pytest.fail("rebuilt"))
        for supersedes in (["model-a"], []):
            with open_gallery(fingerprint="model-b", supersedes=supersedes) as gallery:
                assert_holds(gallery, "ac", "model-b")
            assert '"model-b"' in (folder / "snapshot" / MANIFEST).read_text()
    assert caplog.records == []
    # One value was written; there is nothing that a copy of everything would bring back.
    assert list(folder.glob("backup-*")) == []


def test_an_index_left_under_the_superseded_fingerprint_is_renamed_at_the_next_opening(
    open_gallery: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the database's new fingerprint and the manifest's."""
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
        gallery.snapshot()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE gallery SET fingerprint = 'model-b'")
        connection.commit()
    monkeypatch.setattr("index.vectors.recovery.rebuild", lambda *_: pytest.fail("rebuilt"))
    with open_gallery(fingerprint="model-b", supersedes=["model-a"]) as gallery:
        assert_holds(gallery, "a", "model-b")
    assert '"model-b"' in (folder / "snapshot" / MANIFEST).read_text()
