"""What is kept before a migration, and what is left where there is none."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index import (
    FingerprintMismatchError,
    GalleryMigrationError,
    GalleryShapeError,
)
from index.database import migration
from index.database.connections import DATABASE
from index.database.migration import KEPT_DAYS, SCHEMA_VERSION, SPARE
from index.files.acknowledged import ACKNOWLEDGED
from tests.index.database.earlier import assert_holds, files, values
from tests.index.samples import Open, enrollment, version_1

BACKUP = "backup-version-1"
DAY = 86_400


def test_the_backup_is_the_gallery_of_version_1_as_it_was(earlier: Path, open_gallery: Open) -> None:
    open_gallery().close()
    backup = earlier / BACKUP / DATABASE
    assert [file.name for file in (earlier / BACKUP).iterdir()] == [DATABASE]
    assert values(backup, "PRAGMA user_version") == [(1,)]
    assert values(backup, "PRAGMA integrity_check") == [("ok",)]
    assert values(backup, "SELECT DISTINCT kind FROM change ORDER BY kind") == [("delete",), ("enrol",)]
    assert values(backup, "SELECT group_concat(image_id, '') FROM record") == [("adef",)]


def test_going_back_to_the_backup_and_on_again_loses_nothing(earlier: Path, open_gallery: Open) -> None:
    """The earlier software changes the gallery while it is back; the second migration copies that one."""
    with open_gallery() as gallery:
        gallery.enroll(enrollment("g"))
    (earlier / BACKUP / DATABASE).replace(earlier / DATABASE)
    shutil.rmtree(earlier / "snapshot")
    (earlier / ACKNOWLEDGED).unlink()
    with closing(sqlite3.connect(earlier / DATABASE)) as connection:
        connection.execute("UPDATE record SET image_id = 'e2' WHERE image_id = 'e'")
        connection.commit()
    with open_gallery() as gallery:
        gallery.wait_for_snapshot()
        assert [record.image_id for record in gallery.page().records] == ["a", "d", "e2", "f"]
    assert values(earlier / BACKUP / DATABASE, "SELECT count(*) FROM record WHERE image_id = 'e2'") == [(1,)]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"fingerprint": "model-b"}, FingerprintMismatchError),
        ({"fingerprint": "model-b", "supersedes": ["model-c"]}, FingerprintMismatchError),
        ({"fingerprint": "model-b", "supersedes": ["model-a"], "descriptor_dim": 9}, GalleryShapeError),
        ({"strips_shape": None}, GalleryShapeError),
    ],
)
def test_what_is_refused_is_not_migrated(
    folder: Path, open_gallery: Open, changes: dict[str, Any], error: type[Exception]
) -> None:
    version_1("closed", folder)
    before = files(folder)
    with pytest.raises(error):
        open_gallery(**changes)
    assert files(folder) == before


def test_without_room_for_the_backup_it_says_how_much_is_missing_and_does_nothing(
    folder: Path, open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_1("closed", folder)
    before = files(folder)
    size = (folder / DATABASE).stat().st_size
    usage = namedtuple("usage", ("total", "used", "free"))
    with monkeypatch.context() as full:
        full.setattr(migration, "disk_usage", lambda _: usage(10**9, 0, size + SPARE - 1))
        with pytest.raises(GalleryMigrationError) as caught:
            open_gallery()
    message = str(caught.value)
    assert str(folder / DATABASE) in message
    assert f"{size + SPARE:,} bytes must be free, and {size + SPARE - 1:,} are" in message
    assert files(folder) == before
    assert_holds(open_gallery(), "adef", "model-a")


def _fails_after_half(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE change")
    raise sqlite3.OperationalError("database or disk is full")


def _fails_in_the_backup(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "replacement", "reason"),
    [
        ("STEPS", {1: _fails_after_half}, "database or disk is full"),
        ("sync", _fails_in_the_backup, "No space left on device"),
    ],
)
def test_a_migration_that_fails_leaves_the_version_that_was(
    earlier: Path,
    open_gallery: Open,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    replacement: Callable[..., object],
    reason: str,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(migration, name, replacement)
        with pytest.raises(GalleryMigrationError, match=rf"to schema version {SCHEMA_VERSION}: .*{reason}"):
            open_gallery()
    assert values(earlier / DATABASE, "PRAGMA user_version") == [(1,)]
    assert_holds(open_gallery(), "adef", "model-a")
    assert [file.name for file in (earlier / BACKUP).iterdir()] == [DATABASE]


def test_a_backup_is_removed_when_its_days_are_over_and_not_before(
    folder: Path, open_gallery: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    version_1("closed", folder)
    open_gallery().close()
    backup = folder / BACKUP / DATABASE
    for days, kept in ((KEPT_DAYS - 1, True), (KEPT_DAYS + 1, False)):
        then = time.time() - days * DAY
        os.utime(backup, (then, then))
        open_gallery().close()
        assert backup.exists() == kept
    assert not backup.parent.exists()
    assert f"removed the backup {backup}" in caplog.text


def test_a_backup_that_was_opened_as_a_gallery_is_nobodys_to_remove(folder: Path, open_gallery: Open) -> None:
    version_1("closed", folder)
    open_gallery().close()
    backup = folder / BACKUP
    (backup / "gallery.lock").write_text("process 1")
    then = time.time() - 10 * KEPT_DAYS * DAY
    os.utime(backup / DATABASE, (then, then))
    open_gallery().close()
    assert (backup / DATABASE).exists()
    (backup / DATABASE).replace(folder / DATABASE)
    with pytest.raises(GalleryMigrationError, match=f"{BACKUP} holds a gallery that has been in use"):
        open_gallery()
