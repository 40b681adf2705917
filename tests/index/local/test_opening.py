"""A gallery opens for its own model, in one process at a time, and is otherwise left alone."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from index import (
    FingerprintMismatchError,
    GalleryDamagedError,
    GalleryLockedError,
    GallerySchemaError,
    GalleryShapeError,
    LocalGallery,
)
from index.database.connections import DATABASE
from index.database.migration import SCHEMA_VERSION
from tests.index.samples import Open, enrollment

HOLDER = """
import sys
from pathlib import Path
from index import LocalGallery

with LocalGallery.open(Path(sys.argv[1]), fingerprint="model-a", descriptor_dim=8, strips_shape=(2, 3)):
    print("open", flush=True)
    sys.stdin.read()
"""


def _files(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.name != "gallery.lock"
    }


def test_another_models_gallery_is_refused_naming_both_and_the_remedy_and_nothing_changes(
    open_gallery: Open, folder: Path
) -> None:
    with open_gallery() as gallery:
        gallery.enroll(enrollment("a"))
        gallery.snapshot()
    before = _files(folder)
    with pytest.raises(FingerprintMismatchError) as caught:
        open_gallery(fingerprint="model-b")
    assert (caught.value.gallery_fingerprint, caught.value.bundle_fingerprint) == ("model-a", "model-b")
    message = str(caught.value)
    assert "model-a" in message
    assert "model-b" in message
    assert f"`lka-reid gallery re-embed --data-dir {folder}`" in message
    assert "another --data-dir" in message
    assert _files(folder) == before
    assert open_gallery().count() == 1


@pytest.mark.parametrize("changes", [{"descriptor_dim": 9}, {"strips_shape": (3, 2)}, {"strips_shape": None}])
def test_other_shapes_under_the_same_fingerprint_are_refused(
    open_gallery: Open, changes: dict[str, object]
) -> None:
    open_gallery().close()
    with pytest.raises(GalleryShapeError, match=re.escape("stores descriptors float32 [8]")):
        open_gallery(**changes)
    open_gallery()


def test_a_newer_schema_is_refused_with_both_versions_named(open_gallery: Open, folder: Path) -> None:
    open_gallery().close()
    connection = sqlite3.connect(folder / DATABASE)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    for attempt in (open_gallery, lambda: LocalGallery.describe(folder)):
        with pytest.raises(
            GallerySchemaError, match=rf"version is {SCHEMA_VERSION + 1}, .* up to {SCHEMA_VERSION}"
        ):
            attempt()


def test_a_database_that_is_no_gallery_is_refused_and_left_as_it_was(
    open_gallery: Open, folder: Path
) -> None:
    folder.mkdir()
    connection = sqlite3.connect(folder / DATABASE)
    connection.execute("CREATE TABLE something (value)")
    connection.close()
    before = _files(folder)
    with pytest.raises(GallerySchemaError, match="not a gallery"):
        open_gallery()
    assert _files(folder) == before


def test_a_damaged_database_is_called_damaged(open_gallery: Open, folder: Path) -> None:
    open_gallery().close()
    (folder / DATABASE).write_bytes(b"not a database at all" * 500)
    for attempt in (open_gallery, lambda: LocalGallery.describe(folder)):
        with pytest.raises(GalleryDamagedError, match="restore it from a backup"):
            attempt()


def test_the_database_commits_durably(open_gallery: Open) -> None:
    gallery = open_gallery()
    connections = gallery._store._connections
    with connections.reader() as reader:
        for connection in (connections.writer, reader):
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_second_process_is_kept_out_until_the_first_has_gone(open_gallery: Open, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(GalleryLockedError, match=f"in use by process {holder.pid}"):
            open_gallery()
        holder.kill()
    open_gallery()


def test_a_second_gallery_in_the_same_process_is_kept_out(open_gallery: Open) -> None:
    with open_gallery(), pytest.raises(GalleryLockedError):
        open_gallery()
    open_gallery()


def test_a_failed_opening_lets_the_next_one_in(open_gallery: Open) -> None:
    open_gallery().close()
    with pytest.raises(FingerprintMismatchError):
        open_gallery(fingerprint="model-b")
    open_gallery()


def test_a_snapshot_interval_below_one_is_refused(open_gallery: Open) -> None:
    with pytest.raises(ValueError, match="snapshot_every is 0"):
        open_gallery(snapshot_every=0)
