"""A gallery survives kill -9 at any point: what was acknowledged is there, nothing is half there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index import Filter, LocalGallery
from index.database.descriptors import as_stored, pack
from index.database.migration import SCHEMA_VERSION
from index.upkeep.verification import verify
from tests.index.mortal import HISTORIES, listings
from tests.index.samples import DIM, STRIPS, enrollment, version_1
from tests.index.statistics import assert_statistics_are_recomputed_ones


def _lives(name: str, folder: Path, template: Path | None) -> dict[str, int]:
    """The folders of the lives that were ended, each with how many steps it had acknowledged."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.index.mortal", name, str(folder)]
    output = subprocess.run(
        command if template is None else [*command, str(template)],
        cwd=Path(__file__).parents[2],
        # A fork must find no threads that only its parent has.
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert [line for line in output if line.startswith("error")] == []
    acknowledged = Counter(line.removeprefix("ack ") for line in output if line.startswith("ack"))
    lives = {
        name: acknowledged[name]
        for name in (line.removeprefix("dead ") for line in output if line.startswith("dead"))
    }
    assert set(lives.values()) == set(range(len(HISTORIES[name].steps)))
    return lives


def _assert_whole(gallery: LocalGallery, without_strips: str = "") -> list[str]:
    """Each image is there with all that belongs to it, and nothing beside; the listing."""
    records = {record.image_id: record for record in gallery.page().records}
    names = list(records)
    for name, record in records.items():
        given = enrollment(name)
        assert (record.vehicle_id, record.camera_id, record.captured_at, record.view, record.tags) == (
            given.vehicle_id,
            given.camera_id,
            given.captured_at,
            given.view,
            given.tags,
        )
        assert gallery.image(name) == (given.image, given.media_type)
    probes = np.array([enrollment(name).descriptor for name in names], np.float32).reshape(-1, DIM)
    cameras = [record.camera_id for record in records.values()]
    found = gallery.search(probes, k=100, strips=1, cameras=cameras)
    for name, matches in zip(names, found, strict=True):
        assert matches[0].record == records[name]
        if name in without_strips:
            assert matches[0].strips is None
        else:
            np.testing.assert_array_equal(np.asarray(matches[0].strips), np.asarray(enrollment(name).strips))
        assert matches[0].similarity == pytest.approx(1.0)
        assert {match.record.image_id for match in matches} == set(names)
    stripped = len(set(names) - set(without_strips))
    for table, count in (("descriptor", len(names)), ("strips", stripped), ("image", len(names))):
        assert gallery._store._read(f"SELECT count(*) FROM {table}") == [(count,)]  # noqa: S608
    np.testing.assert_array_equal(gallery._vectors.ids(), gallery._store.changes.ids())
    assert_statistics_are_recomputed_ones(gallery)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["with a snapshot and later changes", "with nothing"])
def test_what_was_acknowledged_before_kill_9_is_there_and_the_rest_wholly_or_not_at_all(
    begun: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    history = HISTORIES["changes"]
    template, before = None, ""
    if begun != "with nothing":
        template, before = tmp_path / "template", "abx"
        with history.opened(template) as gallery:
            gallery.enroll_many([enrollment(name) for name in before[:-1]])
            gallery.wait_for_snapshot()
            assert gallery.snapshot_age_seconds() is not None
            gallery.enroll(enrollment(before[-1]))
    expected = listings(history, before)
    for name, acknowledged in _lives("changes", tmp_path / "lives", template).items():
        with history.opened(tmp_path / "lives" / name) as gallery:
            found = _assert_whole(gallery)
        assert found in expected[acknowledged : acknowledged + 2], f"killed at point {name}"
        # An index file is never in doubt after a kill, which tears nothing that counts.
        assert caplog.records == [], f"killed at point {name}"


@pytest.mark.slow
def test_a_renewal_that_kill_9_ends_leaves_the_old_version_or_the_new_one(tmp_path: Path) -> None:
    history = HISTORIES["renewal"]
    with HISTORIES["changes"].opened(tmp_path / "template") as gallery:
        gallery.enroll_many([enrollment(name) for name in "abx"])
        gallery.wait_for_snapshot()
    expected = listings(history, "abx")
    versions = set()
    for name, acknowledged in _lives("renewal", tmp_path / "lives", tmp_path / "template").items():
        folder = tmp_path / "lives" / name
        # As it was left, and nothing is renewed by itself.
        with replace(history, normalisation=None).opened(folder) as gallery:
            in_force = gallery.cameras.normalisation()
            versions.add(in_force.version)
            assert _assert_whole(gallery) in expected[acknowledged : acknowledged + 2], f"point {name}"
            rows = in_force.apply(
                as_stored(
                    np.stack([enrollment(record.image_id).descriptor for record in gallery.page().records])
                ),
                [record.camera_id for record in gallery.page().records],
            ).astype(np.float64)
            [found] = gallery.search(enrollment("a").descriptor[np.newaxis], k=100, cameras=["camera-7"])
            probe = in_force.apply(enrollment("a").descriptor[np.newaxis], ["camera-7"])[0].astype(np.float64)
            similarities = sorted((rows @ probe).tolist(), reverse=True)
            assert [match.similarity for match in found] == pytest.approx(similarities, abs=1e-12)
    assert versions == {0, 1, 2}


@pytest.mark.slow
def test_alterations_that_kill_9_ends_took_place_wholly_or_not_at_all(tmp_path: Path) -> None:
    history = HISTORIES["alterations"]
    with HISTORIES["changes"].opened(tmp_path / "template") as gallery:
        gallery.enroll_many([enrollment(name) for name in "abx"])
        gallery.wait_for_snapshot()
    altered = ("camera-8", ("night",))
    before = ("camera-7", enrollment("a").tags)
    states = [
        {"a": before, "b": before, "x": before},
        {"a": altered, "b": before, "x": before},
        {"a": altered},
    ]
    expected = [states[0], states[0], states[1], states[2], states[2]]
    for name, acknowledged in _lives("alterations", tmp_path / "lives", tmp_path / "template").items():
        folder = tmp_path / "lives" / name
        with history.opened(folder) as gallery:
            records = gallery.page().records
            found = {record.image_id: (record.camera_id, record.tags) for record in records}
            assert found in expected[acknowledged : acknowledged + 2], f"killed at point {name}"
            night = sum(tags == ("night",) for _, tags in found.values())
            assert gallery.count(Filter(any_tags=frozenset({"night"}))) == night
            assert_statistics_are_recomputed_ones(gallery)
            np.testing.assert_array_equal(gallery._vectors.ids(), gallery._store.changes.ids())
        assert verify(folder).findings == [], f"killed at point {name}"


@pytest.mark.slow
def test_erasing_that_kill_9_ends_leaves_a_whole_gallery_and_is_done_by_the_next_pass(tmp_path: Path) -> None:
    history = HISTORIES["erasure"]
    with HISTORIES["changes"].opened(tmp_path / "template") as gallery:
        gallery.enroll_many([enrollment(name) for name in "abx"])
        gallery.wait_for_snapshot()
    expected = listings(history, "abx")
    for name, acknowledged in _lives("erasure", tmp_path / "lives", tmp_path / "template").items():
        folder = tmp_path / "lives" / name
        with history.opened(folder) as gallery:
            found = _assert_whole(gallery)
            assert found in expected[acknowledged : acknowledged + 2], f"killed at point {name}"
            gallery.erase()
        files = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
        for gone in set("abx") - set(found):
            given = enrollment(gone)
            for part in (given.image, pack(given.descriptor).tobytes()):
                assert not any(part in content for content in files), f"{gone} after point {name}"


@pytest.mark.slow
@pytest.mark.parametrize("left", ["closed", "killed"])
def test_a_migration_that_kill_9_ends_goes_on_at_the_next_opening_and_loses_nothing(
    left: str, tmp_path: Path
) -> None:
    history = HISTORIES["migration"]
    version_1(left, tmp_path / "template")
    expected = listings(history, "adef")
    for name, acknowledged in _lives("migration", tmp_path / "lives", tmp_path / "template").items():
        folder = tmp_path / "lives" / name
        with history.opened(folder) as gallery:
            found = _assert_whole(gallery, without_strips="f")
            assert {record.fingerprint for record in gallery.page().records} == {"model-b"}
            assert gallery._store._read("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert found in expected[acknowledged : acknowledged + 2], f"killed at point {name}"
        assert [file.name for file in (folder / "backup-version-1").iterdir()] == ["gallery.sqlite"]
        with closing(sqlite3.connect(folder / "backup-version-1" / "gallery.sqlite")) as backup:
            assert backup.execute("PRAGMA user_version").fetchone() == (1,)
            assert backup.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert backup.execute("SELECT group_concat(image_id, '') FROM record").fetchone() == ("adef",)


@pytest.mark.slow
def test_a_replacement_that_kill_9_ends_leaves_the_old_gallery_or_the_new_one(tmp_path: Path) -> None:
    template = tmp_path / "template"
    with HISTORIES["changes"].opened(template) as gallery:
        gallery.enroll_many([enrollment(name) for name in "ab"])
        gallery.snapshot()
        gallery.enroll(enrollment("x"))
    fingerprints = set()
    for name, acknowledged in _lives("replacement", tmp_path / "lives", template).items():
        folder = tmp_path / "lives" / name
        header = LocalGallery.describe(folder)
        fingerprints.add(header.fingerprint)
        assert header.fingerprint == "model-b" or not acknowledged
        with LocalGallery.open(
            folder, fingerprint=header.fingerprint, descriptor_dim=DIM, strips_shape=STRIPS
        ) as gallery:
            assert _assert_whole(gallery) == list("abx"), f"killed at point {name}"
    assert fingerprints == {"model-a", "model-b"}
