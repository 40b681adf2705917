"""A gallery of an earlier version or a superseded fingerprint is brought to the present, or left alone."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import sqlite3
import time
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import (
    DamagedImageError,
    Filter,
    FingerprintMismatchError,
    GalleryMigrationError,
    GalleryShapeError,
    LocalGallery,
)
from index.database import float16_step, migration
from index.database.connections import DATABASE
from index.database.descriptors import as_stored
from index.database.migration import KEPT_DAYS, SCHEMA_VERSION, SPARE, STEPS, migrate
from index.files.acknowledged import ACKNOWLEDGED
from index.upkeep.verification import verify
from index.vectors.snapshot import MANIFEST
from tests.index.samples import DIM, Open, earlier_version, enrollment, version_1
from tests.index.statistics import assert_statistics_are_recomputed_ones

BACKUP = "backup-version-1"
DAY = 86_400


@pytest.fixture(params=["closed", "killed"])
def earlier(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A gallery of schema version 1 with the images a, d, e and f."""
    version_1(request.param, folder)
    return folder


def _tables(database: Path) -> list[Any]:
    """What the schema holds; spaces, which a column that is added has elsewhere, make no difference."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")
        return [(*of, re.sub(r"\s*([(),]|\s)\s*", r"\1", sql or "")) for *of, sql in found]


def _values(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def _files(folder: Path) -> dict[str, str]:
    """All but SQLite's own shared memory, which says nothing of the contents."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock" and not file.name.endswith("-shm")
    }


def _assert_holds(gallery: LocalGallery, names: str, fingerprint: str) -> None:
    assert [record.image_id for record in gallery.page().records] == list(names)
    for name in names:
        given = enrollment(name)
        record = gallery.get(name)
        assert (record.vehicle_id, record.tags) == (given.vehicle_id, given.tags)
        assert record.fingerprint == fingerprint
        assert gallery.image(name) == (given.image, given.media_type)
        [[match]] = gallery.search(given.descriptor[np.newaxis], k=1, strips=1)
        assert match.record == record
        if name == "f":
            assert match.strips is None
        else:
            np.testing.assert_array_equal(np.asarray(match.strips), np.asarray(given.strips))


def test_every_version_has_a_step_to_the_next() -> None:
    assert list(STEPS) == list(range(1, SCHEMA_VERSION))


def test_a_gallery_of_version_1_keeps_everything_and_goes_on(
    earlier: Path, open_gallery: Open, tmp_path: Path
) -> None:
    with open_gallery() as gallery:
        _assert_holds(gallery, "adef", "model-a")
        gallery.enroll(enrollment("g"))
        gallery.delete("a")
        # Neither a record's number nor a change's is given twice.
        assert gallery._store._read("SELECT sequence, record_id, kind FROM change WHERE sequence > 8") == [
            (9, 7, "enroll"),
            (10, 1, "delete"),
        ]
    with open_gallery() as gallery:
        _assert_holds(gallery, "defg", "model-a")
    open_gallery(tmp_path / "new").close()
    assert _tables(earlier / DATABASE) == _tables(tmp_path / "new" / DATABASE)


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_version_2_keeps_everything_and_gets_checksums(
    folder: Path, open_gallery: Open, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    earlier_version(2, kind, folder)
    with open_gallery() as gallery:
        _assert_holds(gallery, "adef", "model-a")
        gallery.enroll(enrollment("g"))
        gallery.delete("a")
    with open_gallery() as gallery:
        _assert_holds(gallery, "defg", "model-a")
    assert caplog.records == []
    assert _values(folder / "backup-version-2" / DATABASE, "PRAGMA user_version") == [(2,)]
    assert _values(folder / DATABASE, "SELECT count(*) FROM checksum") == [(4,)]
    open_gallery(tmp_path / "new").close()
    assert _tables(folder / DATABASE) == _tables(tmp_path / "new" / DATABASE)


def test_an_image_that_is_missing_before_a_migration_is_called_damaged_after_it(
    folder: Path, open_gallery: Open
) -> None:
    earlier_version(2, "closed", folder)
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("DELETE FROM image WHERE record_id = (SELECT id FROM record WHERE image_id = 'd')")
        connection.commit()
    gallery = open_gallery()
    with pytest.raises(DamagedImageError, match="'d' is damaged: its image"):
        gallery.image("d")
    assert gallery.image("e")[0] == enrollment("e").image


def test_changes_keep_numbers_and_tokens_by_which_snapshots_know_them(earlier: Path) -> None:
    query = "SELECT sequence, record_id, token FROM change ORDER BY sequence"
    kinds = "SELECT group_concat(kind) FROM (SELECT kind FROM change ORDER BY sequence)"
    before = _values(earlier / DATABASE, query)
    assert _values(earlier / DATABASE, kinds) == [("delete,enrol,enrol,delete",)]
    with closing(sqlite3.connect(earlier / DATABASE, isolation_level=None)) as connection:
        migrate(connection, earlier / DATABASE, version=1)
    assert _values(earlier / DATABASE, query) == before
    assert _values(earlier / DATABASE, kinds) == [("delete,enroll,enroll,delete",)]


def test_numbers_of_changes_go_on_where_the_log_was_emptied(folder: Path) -> None:
    version_1("closed", folder)
    database = folder / DATABASE
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM change")
        migrate(connection, database, version=1)
        connection.execute("INSERT INTO change (record_id, kind) VALUES (1, 'enroll')")
    assert _values(database, "SELECT sequence FROM change") == [(9,)]


def test_the_backup_is_the_gallery_of_version_1_as_it_was(earlier: Path, open_gallery: Open) -> None:
    open_gallery().close()
    backup = earlier / BACKUP / DATABASE
    assert [file.name for file in (earlier / BACKUP).iterdir()] == [DATABASE]
    assert _values(backup, "PRAGMA user_version") == [(1,)]
    assert _values(backup, "PRAGMA integrity_check") == [("ok",)]
    assert _values(backup, "SELECT DISTINCT kind FROM change ORDER BY kind") == [("delete",), ("enrol",)]
    assert _values(backup, "SELECT group_concat(image_id, '') FROM record") == [("adef",)]


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
    assert _values(earlier / BACKUP / DATABASE, "SELECT count(*) FROM record WHERE image_id = 'e2'") == [(1,)]


@pytest.mark.usefixtures("earlier")
def test_a_superseded_fingerprint_of_version_1_gets_the_new_one_for_good(open_gallery: Open) -> None:
    with open_gallery(fingerprint="model-b", supersedes=["model-x", "model-a"]) as gallery:
        _assert_holds(gallery, "adef", "model-b")
    with open_gallery(fingerprint="model-b") as gallery:
        _assert_holds(gallery, "adef", "model-b")
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
                _assert_holds(gallery, "ac", "model-b")
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
        _assert_holds(gallery, "a", "model-b")
    assert '"model-b"' in (folder / "snapshot" / MANIFEST).read_text()


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
    before = _files(folder)
    with pytest.raises(error):
        open_gallery(**changes)
    assert _files(folder) == before


def test_without_room_for_the_backup_it_says_how_much_is_missing_and_does_nothing(
    folder: Path, open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_1("closed", folder)
    before = _files(folder)
    size = (folder / DATABASE).stat().st_size
    usage = namedtuple("usage", ("total", "used", "free"))
    with monkeypatch.context() as full:
        full.setattr(migration, "disk_usage", lambda _: usage(10**9, 0, size + SPARE - 1))
        with pytest.raises(GalleryMigrationError) as caught:
            open_gallery()
    message = str(caught.value)
    assert str(folder / DATABASE) in message
    assert f"{size + SPARE:,} bytes must be free, and {size + SPARE - 1:,} are" in message
    assert _files(folder) == before
    _assert_holds(open_gallery(), "adef", "model-a")


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
    assert _values(earlier / DATABASE, "PRAGMA user_version") == [(1,)]
    _assert_holds(open_gallery(), "adef", "model-a")
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


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_version_4_keeps_everything_and_its_descriptors_in_half_the_bytes(
    folder: Path, open_gallery: Open, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    earlier_version(4, kind, folder)
    with open_gallery() as gallery:
        _assert_holds(gallery, "adef", "model-a")
        assert_statistics_are_recomputed_ones(gallery)
        for name in "adef":
            [[match]] = gallery.search(enrollment(name).descriptor[np.newaxis], k=1)
            [stored] = as_stored(enrollment(name).descriptor[np.newaxis])
            assert match.similarity == float((stored.astype(np.float64) * enrollment(name).descriptor).sum())
        gallery.enroll(enrollment("g"))
        gallery.delete("a")
        assert_statistics_are_recomputed_ones(gallery)
    with open_gallery() as gallery:
        _assert_holds(gallery, "defg", "model-a")
    assert caplog.records == []
    assert _values(folder / DATABASE, "SELECT DISTINCT length(data) FROM descriptor") == [(2 * DIM,)]
    open_gallery(tmp_path / "new").close()
    assert _tables(folder / DATABASE) == _tables(tmp_path / "new" / DATABASE)


def test_copying_descriptors_goes_on_after_a_kill_and_follows_what_the_earlier_software_did_meanwhile(
    folder: Path, open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier_version(4, "closed", folder)
    copied: list[int] = []

    def copy(connection: sqlite3.Connection, record_id: int, data: bytes, expected: int | None) -> None:
        if len(copied) == 3:
            raise KeyboardInterrupt
        copied.append(record_id)
        copy_one(connection, record_id, data, expected)

    copy_one = float16_step._copy
    monkeypatch.setattr(float16_step, "PIECE", 1)
    monkeypatch.setattr(float16_step, "_copy", copy)
    with pytest.raises(KeyboardInterrupt):
        open_gallery()
    assert _values(folder / DATABASE, "PRAGMA user_version") == [(4,)]
    assert _values(folder / DATABASE, "SELECT count(*) FROM descriptor_16") == [(3,)]
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM record WHERE image_id = 'd'")
        connection.execute("INSERT INTO change (record_id, kind) VALUES (4, 'delete')")
        connection.commit()
    (folder / ACKNOWLEDGED).unlink()
    before, copied[:] = list(copied), []
    with open_gallery() as gallery:
        _assert_holds(gallery, "aef", "model-a")
        assert_statistics_are_recomputed_ones(gallery)
    assert len(copied) == 1
    assert not set(copied) & set(before)


def test_a_damaged_descriptor_stays_damaged_when_it_is_copied(
    folder: Path, open_gallery: Open, caplog: pytest.LogCaptureFixture
) -> None:
    earlier_version(4, "closed", folder)
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE descriptor SET data = zeroblob(32) WHERE record_id = 4")
        connection.commit()
    assert open_gallery().index_state().left_out == 1
    assert "'d' is damaged: its descriptor" in caplog.text
    assert "the descriptor of record 4 is damaged and stays so" in caplog.text


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_version_5_keeps_everything_and_answers_filters(
    folder: Path, open_gallery: Open, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    earlier_version(5, kind, folder)
    with open_gallery() as gallery:
        _assert_holds(gallery, "adef", "model-a")
        for where, expected in (
            (Filter(any_tags=frozenset({"größer"})), "adef"),
            (Filter(camera_ids=frozenset({"camera-8"})), "e"),
            (Filter(vehicle_types=frozenset({"truck"})), ""),
        ):
            assert "".join(record.image_id for record in gallery.page(where=where).records) == expected
        gallery.enroll(enrollment("g", vehicle_type="truck", tags=()))
        assert gallery.count(Filter(vehicle_types=frozenset({"truck"}))) == 1
    # Snapshots of the time are not read any more.
    assert [each for each in caplog.messages if "snapshot not used" not in each] == []
    open_gallery(tmp_path / "new").close()
    assert _tables(folder / DATABASE) == _tables(tmp_path / "new" / DATABASE)


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_version_6_keeps_everything_and_knows_the_same_bytes(
    folder: Path, open_gallery: Open, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    earlier_version(6, kind, folder)
    with open_gallery() as gallery:
        _assert_holds(gallery, "adef", "model-a")
        for name in "adef":
            assert gallery.same_image(enrollment(name).image) == [name]
        gallery.enroll(enrollment("g", image=enrollment("d").image))
        assert gallery.same_image(enrollment("d").image) == ["d", "g"]
        gallery.snapshot()  # else a close may come before the one that replaces that of the time
    # Snapshots of the time are not read any more.
    assert [each for each in caplog.messages if "snapshot not used" not in each] == []
    assert verify(folder).findings == []
    open_gallery(tmp_path / "new").close()
    assert _tables(folder / DATABASE) == _tables(tmp_path / "new" / DATABASE)


def test_tags_that_are_damaged_before_a_migration_do_not_stop_it(folder: Path, open_gallery: Open) -> None:
    earlier_version(5, "closed", folder)
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE record SET tags = '[\"bus' WHERE image_id = 'd'")
        connection.commit()
    gallery = open_gallery()
    with pytest.raises(DamagedImageError, match="'d' is damaged: its record"):
        gallery.get("d")
    assert gallery.count(Filter(any_tags=frozenset({"bus"}))) == 3
