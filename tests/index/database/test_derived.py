"""What follows from records is verified against them, and mended by a rebuild."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from index import LocalGallery
from index.database.connections import DATABASE
from index.upkeep.repair import rebuild
from index.upkeep.verification import verify
from tests.index.samples import Open, enrollment
from tests.index.statistics import assert_statistics_are_recomputed_ones


@pytest.fixture
def filled(open_gallery: Open, folder: Path) -> Path:
    with open_gallery(normalisation="on") as gallery:
        gallery.enroll_many([enrollment(name, camera_id=f"camera-{name in 'ab'}") for name in "abcd"])
        gallery.cameras.calibrate("camera-9", enrollment("e").descriptor, b"e")
        gallery.cameras.renew_if_due()
        gallery.wait_for_snapshot()
    assert verify(folder).findings == []
    return folder


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE camera SET count = 7 WHERE source = 'enrolled'", "sums of the enrolled images of camera"),
        (
            "UPDATE camera SET sums = zeroblob(128) WHERE source = 'calibrated'",
            "sums of the calibrated images",
        ),
        ("DELETE FROM camera WHERE camera_id = 'camera-True'", "'camera-True' has images and no sums"),
        (
            "UPDATE camera SET camera_id = 'x' WHERE camera_id = 'camera-True'",
            "'x' are not those of its images",
        ),
        ("UPDATE normalisation_camera SET count = 9", "of the camera normalisation is damaged"),
        ("UPDATE image_digest SET digest = x'00' WHERE record_id = 2", "'b': its digest is not that of"),
        ("DELETE FROM image_digest WHERE record_id = 2", "'b': its digest is not that of its image"),
        ("DELETE FROM tag WHERE record_id = 2", "'b': filters find it by other tags"),
    ],
)
def test_every_fault_is_told_and_a_rebuild_mends_what_records_can_give(
    damage: str, found: str, filled: Path, open_gallery: Open
) -> None:
    with closing(sqlite3.connect(filled / DATABASE)) as connection:
        connection.execute(damage)
        connection.commit()
    findings = verify(filled).findings
    assert any(found in each.text for each in findings), findings
    assert {each.record_id for each in findings} == {None}
    rebuild(filled)
    # Images of a calibration are not kept: their sums begin anew.
    left = [each.text for each in verify(filled).findings]
    assert left == [text for text in left if "calibrated" in text and "calibrated" in found]
    with open_gallery() as gallery:
        _assert_whole(gallery)


def _assert_whole(gallery: LocalGallery) -> None:
    assert_statistics_are_recomputed_ones(gallery)
    assert [gallery.same_image(enrollment(name).image) for name in "abcd"] == [["a"], ["b"], ["c"], ["d"]]
