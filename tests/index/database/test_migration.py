"""A gallery of an earlier version is brought to the present, and loses nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from index import (
    DamagedImageError,
    Filter,
)
from index.database import float16_step
from index.database.connections import DATABASE
from index.database.descriptors import as_stored
from index.database.migration import SCHEMA_VERSION, STEPS, migrate
from index.files.acknowledged import ACKNOWLEDGED
from index.upkeep.verification import verify
from tests.index.database.earlier import assert_holds, tables, values
from tests.index.samples import DIM, Open, earlier_version, enrollment, version_1
from tests.index.statistics import assert_statistics_are_recomputed_ones


def test_every_version_has_a_step_to_the_next() -> None:
    assert list(STEPS) == list(range(1, SCHEMA_VERSION))


def test_a_gallery_of_version_1_keeps_everything_and_goes_on(
    earlier: Path, open_gallery: Open, tmp_path: Path
) -> None:
    with open_gallery() as gallery:
        assert_holds(gallery, "adef", "model-a")
        gallery.enroll(enrollment("g"))
        gallery.delete("a")
        # Neither a record's number nor a change's is given twice.
        assert gallery._store._read("SELECT sequence, record_id, kind FROM change WHERE sequence > 8") == [
            (9, 7, "enroll"),
            (10, 1, "delete"),
        ]
    with open_gallery() as gallery:
        assert_holds(gallery, "defg", "model-a")
    open_gallery(tmp_path / "new").close()
    assert tables(earlier / DATABASE) == tables(tmp_path / "new" / DATABASE)


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_version_2_keeps_everything_and_gets_checksums(
    folder: Path, open_gallery: Open, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    earlier_version(2, kind, folder)
    with open_gallery() as gallery:
        assert_holds(gallery, "adef", "model-a")
        gallery.enroll(enrollment("g"))
        gallery.delete("a")
    with open_gallery() as gallery:
        assert_holds(gallery, "defg", "model-a")
    assert caplog.records == []
    assert values(folder / "backup-version-2" / DATABASE, "PRAGMA user_version") == [(2,)]
    assert values(folder / DATABASE, "SELECT count(*) FROM checksum") == [(4,)]
    open_gallery(tmp_path / "new").close()
    assert tables(folder / DATABASE) == tables(tmp_path / "new" / DATABASE)


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
    before = values(earlier / DATABASE, query)
    assert values(earlier / DATABASE, kinds) == [("delete,enrol,enrol,delete",)]
    with closing(sqlite3.connect(earlier / DATABASE, isolation_level=None)) as connection:
        migrate(connection, earlier / DATABASE, version=1)
    assert values(earlier / DATABASE, query) == before
    assert values(earlier / DATABASE, kinds) == [("delete,enroll,enroll,delete",)]


def test_numbers_of_changes_go_on_where_the_log_was_emptied(folder: Path) -> None:
    version_1("closed", folder)
    database = folder / DATABASE
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM change")
        migrate(connection, database, version=1)
        connection.execute("INSERT INTO change (record_id, kind) VALUES (1, 'enroll')")
    assert values(database, "SELECT sequence FROM change") == [(9,)]


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_version_4_keeps_everything_and_its_descriptors_in_half_the_bytes(
    folder: Path, open_gallery: Open, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    earlier_version(4, kind, folder)
    with open_gallery() as gallery:
        assert_holds(gallery, "adef", "model-a")
        assert_statistics_are_recomputed_ones(gallery)
        for name in "adef":
            [[match]] = gallery.search(enrollment(name).descriptor[np.newaxis], k=1)
            [stored] = as_stored(enrollment(name).descriptor[np.newaxis])
            assert match.similarity == float((stored.astype(np.float64) * enrollment(name).descriptor).sum())
        gallery.enroll(enrollment("g"))
        gallery.delete("a")
        assert_statistics_are_recomputed_ones(gallery)
    with open_gallery() as gallery:
        assert_holds(gallery, "defg", "model-a")
    assert caplog.records == []
    assert values(folder / DATABASE, "SELECT DISTINCT length(data) FROM descriptor") == [(2 * DIM,)]
    open_gallery(tmp_path / "new").close()
    assert tables(folder / DATABASE) == tables(tmp_path / "new" / DATABASE)


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
    assert values(folder / DATABASE, "PRAGMA user_version") == [(4,)]
    assert values(folder / DATABASE, "SELECT count(*) FROM descriptor_16") == [(3,)]
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM record WHERE image_id = 'd'")
        connection.execute("INSERT INTO change (record_id, kind) VALUES (4, 'delete')")
        connection.commit()
    (folder / ACKNOWLEDGED).unlink()
    before, copied[:] = list(copied), []
    with open_gallery() as gallery:
        assert_holds(gallery, "aef", "model-a")
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
        assert_holds(gallery, "adef", "model-a")
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
    assert tables(folder / DATABASE) == tables(tmp_path / "new" / DATABASE)


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_version_6_keeps_everything_and_knows_the_same_bytes(
    folder: Path, open_gallery: Open, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    earlier_version(6, kind, folder)
    with open_gallery() as gallery:
        assert_holds(gallery, "adef", "model-a")
        for name in "adef":
            assert gallery.same_image(enrollment(name).image) == [name]
        gallery.enroll(enrollment("g", image=enrollment("d").image))
        assert gallery.same_image(enrollment("d").image) == ["d", "g"]
        gallery.snapshot()  # else a close may come before the one that replaces that of the time
    # Snapshots of the time are not read any more.
    assert [each for each in caplog.messages if "snapshot not used" not in each] == []
    assert verify(folder).findings == []
    open_gallery(tmp_path / "new").close()
    assert tables(folder / DATABASE) == tables(tmp_path / "new" / DATABASE)


def test_tags_that_are_damaged_before_a_migration_do_not_stop_it(folder: Path, open_gallery: Open) -> None:
    earlier_version(5, "closed", folder)
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE record SET tags = '[\"bus' WHERE image_id = 'd'")
        connection.commit()
    gallery = open_gallery()
    with pytest.raises(DamagedImageError, match="'d' is damaged: its record"):
        gallery.get("d")
    assert gallery.count(Filter(any_tags=frozenset({"bus"}))) == 3
