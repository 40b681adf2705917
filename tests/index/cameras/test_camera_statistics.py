"""What is kept of each camera follows every change, and is what a recomputation gives."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index import DuplicateImageError
from index.cameras.sums import Sums
from index.database.connections import DATABASE
from index.database.descriptors import as_stored
from tests.index.samples import Open, earlier_version, enrollment
from tests.index.statistics import assert_statistics_are_recomputed_ones, sums_of

CAMERAS = ("gate-1", "gate-2", None)


def changed(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute(statement, values)
        connection.commit()


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["enroll", "delete", "reopen"]), st.integers(0, 11), st.sampled_from(CAMERAS)
        ),
        max_size=25,
    )
)
def test_after_any_changes_they_are_those_of_what_is_enrolled(
    steps: list[tuple[str, int, str | None]], tmp_path_factory: pytest.TempPathFactory, open_gallery: Open
) -> None:
    folder = tmp_path_factory.mktemp("changes")
    gallery = open_gallery(folder)
    for action, number, camera in steps:
        known = {record.image_id for record in gallery.page(limit=1000).records}
        names = [name for name in (f"{number}", f"{number}-b") if name not in known]
        if action == "enroll":
            gallery.enroll_many([enrollment(name, camera_id=camera) for name in names])
        elif action == "delete" and str(number) in known:
            gallery.delete(str(number))
        elif action == "reopen":
            gallery.close()
            gallery = open_gallery(folder)
    assert_statistics_are_recomputed_ones(gallery)
    gallery.close()


def test_images_of_one_transaction_count_for_their_own_cameras(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.enroll_many([enrollment(str(n), camera_id=CAMERAS[n % 3]) for n in range(7)])
    assert {name: of.enrolled.count for name, of in sums_of(gallery).items()} == {
        "": 2,
        "gate-1": 3,
        "gate-2": 2,
    }


def test_an_enrollment_that_is_refused_counts_nowhere(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    before = sums_of(gallery)["camera-7"].enrolled
    with pytest.raises(DuplicateImageError):
        gallery.enroll_many([enrollment("b"), enrollment("a")])
    assert sums_of(gallery)["camera-7"].enrolled == before


def test_the_last_image_of_a_camera_takes_its_statistics_with_it(open_gallery: Open, folder: Path) -> None:
    gallery = open_gallery()
    gallery.enroll(enrollment("a"))
    gallery.delete("a")
    assert sums_of(gallery) == {}
    gallery.close()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        assert connection.execute("SELECT count(*) FROM camera").fetchone() == (0,)


@pytest.mark.parametrize("column", ["data", "camera_id"])
def test_deleting_an_image_that_is_damaged_leaves_the_others_statistics(
    column: str, open_gallery: Open, folder: Path
) -> None:
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name) for name in "abc"])
        gallery.snapshot()
    damage = {
        "data": "UPDATE descriptor SET data = zeroblob(32) WHERE record_id = 2",
        "camera_id": "UPDATE record SET camera_id = 'another' WHERE id = 2",
    }
    changed(folder, damage[column])
    gallery = open_gallery()
    gallery.delete("b")
    assert_statistics_are_recomputed_ones(gallery)
    assert sums_of(gallery)["camera-7"].enrolled.count == 2


def test_sums_that_are_damaged_are_computed_anew_at_the_next_change(
    open_gallery: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_gallery() as gallery:
        gallery.enroll_many([enrollment(name) for name in "abc"])
    changed(folder, "UPDATE camera SET count = 7")
    gallery = open_gallery()
    with caplog.at_level(logging.ERROR):
        gallery.delete("a")
    assert "the sums of the enrolled images of camera 'camera-7' are damaged" in caplog.text
    assert_statistics_are_recomputed_ones(gallery)
    gallery.enroll(enrollment("d"))
    assert_statistics_are_recomputed_ones(gallery)


@pytest.mark.parametrize("kind", ["closed", "killed"])
def test_a_gallery_of_version_3_gets_the_statistics_of_what_it_holds(
    kind: str, folder: Path, open_gallery: Open
) -> None:
    earlier_version(3, kind, folder)
    gallery = open_gallery()
    assert {name: of.enrolled.count for name, of in sums_of(gallery).items()} == {
        "": 1,
        "camera-7": 2,
        "camera-8": 1,
    }
    assert_statistics_are_recomputed_ones(gallery)
    gallery.delete("a")
    assert_statistics_are_recomputed_ones(gallery)


def test_a_migration_leaves_a_damaged_descriptor_out(open_gallery: Open, folder: Path) -> None:
    earlier_version(3, "closed", folder)
    changed(
        folder,
        "UPDATE descriptor SET data = zeroblob(32) WHERE record_id = "
        "(SELECT id FROM record WHERE image_id = 'd')",
    )
    gallery = open_gallery()
    assert sums_of(gallery)["camera-7"].enrolled == Sums.of(as_stored(enrollment("a").descriptor[None]))
    gallery.delete("d")
    assert_statistics_are_recomputed_ones(gallery)
