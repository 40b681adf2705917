"""A gallery takes cameras out of what it compares, and switches from version to version in one step."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index import InvalidEnrollmentError, LocalGallery, UnknownCameraError
from index.cameras.estimation import AUTO_IMAGES, estimate
from index.cameras.normalisation import Normalisation
from index.database.connections import DATABASE
from index.database.descriptors import as_stored
from index.vectors.snapshot import MANIFEST
from index.vectors.vectors import Vectors
from tests.index.samples import DIM, Open, enrollment
from tests.index.statistics import assert_statistics_are_recomputed_ones, sums_of

TINT = {"gate-1": 0, "gate-2": 3, "gate-3": 6}
PER_CAMERA = 2 * AUTO_IMAGES


def descriptor(vehicle: str, camera: str | None) -> NDArray[np.float32]:
    """Of one vehicle before one camera: what is the vehicle's, and much of the camera's."""
    found = enrollment(vehicle).descriptor.copy()
    if camera is not None:
        found[TINT[camera]] += 1.0
    unit: NDArray[np.float32] = (found / np.linalg.norm(found)).astype(np.float32)
    return unit


def fill(gallery: LocalGallery, *cameras: str | None, count: int = PER_CAMERA, first: int = 0) -> None:
    gallery.enroll_many(
        [
            enrollment(
                f"{camera}/{number}", camera_id=camera, descriptor=descriptor(f"vehicle {number}", camera)
            )
            for camera in cameras
            for number in range(first, first + count)
        ]
    )


def answers(gallery: LocalGallery, camera: str | None = "gate-3") -> list[tuple[str, float]]:
    probes = np.stack([descriptor(f"vehicle {number}", camera) for number in range(5)])
    found = gallery.search(probes, k=100, cameras=[camera] * 5)
    return [(match.record.image_id, match.similarity) for matches in found for match in matches]


def expected_answers(gallery: LocalGallery, normalisation: Normalisation, camera: str) -> list[list[float]]:
    """Similarities by brute force in float64, best first."""
    records = gallery.page(limit=1000).records
    raw = [descriptor(f"vehicle {record.image_id.partition('/')[2]}", record.camera_id) for record in records]
    rows = normalisation.apply(as_stored(np.stack(raw)), [record.camera_id for record in records]).astype(
        np.float64
    )
    probes = normalisation.apply(
        np.stack([descriptor(f"vehicle {number}", camera) for number in range(5)]), [camera] * 5
    )
    return [sorted(row, reverse=True) for row in (probes.astype(np.float64) @ rows.T).tolist()]


def in_force(gallery: LocalGallery) -> Normalisation:
    gallery.cameras.wait()
    return gallery.cameras.normalisation()


def test_auto_leaves_descriptors_as_they_are_until_two_cameras_have_enough_images(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1")
    assert in_force(gallery).is_raw
    [found] = gallery.search(descriptor("vehicle 3", "gate-1")[np.newaxis], k=1, cameras=["gate-1"])
    assert found[0].similarity == pytest.approx(1.0)
    assert (found.normalisation.version, found.normalisation.camera) == (0, "off")
    fill(gallery, "gate-2")
    assert not in_force(gallery).is_raw
    [found] = gallery.search(descriptor("vehicle 3", "gate-1")[np.newaxis], k=1, cameras=["gate-1"])
    assert (found.normalisation.version, found.normalisation.camera) == (1, "known")


def test_a_vehicle_is_found_before_another_camera_once_cameras_are_taken_out(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2")
    probes = np.stack([descriptor(f"vehicle {n}", "gate-2") for n in range(PER_CAMERA)])

    def correct(cameras: list[str] | None) -> int:
        found = gallery.search(probes, k=2, cameras=cameras)
        return sum(f"gate-1/{n}" in [m.record.image_id for m in found[n]] for n in range(PER_CAMERA))

    assert not in_force(gallery).is_raw
    assert correct(["gate-2"] * PER_CAMERA) > correct(None)


def test_similarities_are_exact_those_of_normalised_descriptors(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2")
    version = in_force(gallery)
    fill(gallery, "gate-1", count=3, first=PER_CAMERA)
    probes = np.stack([descriptor(f"vehicle {number}", "gate-2") for number in range(5)])
    found = gallery.search(probes, k=100, cameras=["gate-2"] * 5)
    assert gallery.cameras.normalisation() is version
    similarities = [[match.similarity for match in matches] for matches in found]
    assert similarities == pytest.approx(np.array(expected_answers(gallery, version, "gate-2")), abs=1e-12)


def test_a_probe_without_a_camera_is_normalised_by_what_all_have_in_common(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2")
    assert not in_force(gallery).is_raw
    probe = descriptor("vehicle 3", "gate-1")[np.newaxis]
    [named], [unnamed], [unknown] = (
        gallery.search(probe, k=5, cameras=[camera]) for camera in ("gate-1", None, "elsewhere")
    )
    assert unnamed == unknown != named
    assert [found.normalisation.camera for found in (named, unnamed, unknown)] == [
        "known",
        "global",
        "global",
    ]


def test_probes_leave_the_statistics_as_they_are(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2")
    before = sums_of(gallery)
    answers(gallery, "gate-1")
    assert sums_of(gallery) == before


@pytest.mark.parametrize("snapshot", ["of the version in force", "of an earlier version", "none"])
def test_answers_are_the_same_after_a_restart(
    snapshot: str, open_gallery: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1")
    gallery.snapshot()
    earlier = {file.name: file.read_bytes() for file in (folder / "snapshot").iterdir()}
    fill(gallery, "gate-2")
    version = in_force(gallery)
    fill(gallery, "gate-3", count=2)
    gallery.cameras.wait()
    gallery.wait_for_snapshot()
    version, before = in_force(gallery), answers(gallery)
    assert not version.is_raw
    gallery.close()
    if snapshot != "of the version in force":
        for file in (folder / "snapshot").iterdir():
            file.unlink()
    if snapshot == "of an earlier version":
        for name, content in earlier.items():
            (folder / "snapshot" / name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        reopened = open_gallery(normalisation="auto")
    assert answers(reopened) == before
    assert in_force(reopened).version == version.version
    reason = "its vectors were made by another version" if "earlier" in snapshot else "is missing"
    assert (reason in caplog.text) == (snapshot != "of the version in force")


@pytest.mark.slow
@pytest.mark.parametrize("learned", ["by calibration", "by enrollment"])
def test_what_a_former_process_learned_too_late_takes_effect_a_while_after_the_opening(
    learned: str, open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2", count=100)
    version = in_force(gallery)
    if learned == "by enrollment":
        fill(gallery, "gate-3", count=6)
    else:
        for number in range(6):
            of_it = descriptor(f"calibration {number}", "gate-3")
            assert gallery.cameras.calibrate("gate-3", of_it, bytes([number]))
    before = answers(gallery)
    assert in_force(gallery) is version
    gallery.close()

    reopened = open_gallery(normalisation="auto")
    assert in_force(reopened).version == version.version
    assert answers(reopened) == before
    overview = reopened.cameras.overview()
    assert overview.drift > overview.drift_limit
    reopened.close()

    monkeypatch.setattr("index.local.renewal.LINGER_S", 0.1)
    again = open_gallery(normalisation="auto")
    until = time.monotonic() + 60
    while in_force(again).use("gate-3") != "known":
        assert time.monotonic() < until, "the camera is not looked at"
        time.sleep(0.01)
    assert in_force(again).version == version.version + 1
    overview = again.cameras.overview()
    assert overview.drift < overview.drift_limit


def test_a_version_stays_until_cameras_have_moved(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2", count=400)
    assert in_force(gallery).version == 1
    fill(gallery, "gate-1", "gate-2", count=30, first=400)
    assert in_force(gallery).version == 1
    overview = gallery.cameras.overview()
    assert 0 < overview.drift < overview.drift_limit
    # The camera was turned: what it sees has another light.
    gallery.enroll_many(
        [
            enrollment(f"turned/{n}", camera_id="gate-1", descriptor=descriptor(f"vehicle {n}", "gate-3"))
            for n in range(300)
        ]
    )
    assert in_force(gallery).version == 2
    assert gallery.cameras.renew_if_due() is False
    assert gallery.cameras.overview().drift < overview.drift_limit


@pytest.mark.slow
def test_a_version_is_switched_to_in_one_step_while_others_search_enroll_and_delete(
    open_gallery: Open,
) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2")
    assert in_force(gallery).version == 1
    probe = descriptor("vehicle 3", "gate-1")[np.newaxis]
    wrong: list[str] = []
    seen: set[int] = set()
    stop = threading.Event()

    def search() -> None:
        known: dict[int, dict[str, float]] = {}
        while not stop.is_set():
            [found] = gallery.search(probe, k=10, cameras=["gate-1"])
            version = found.normalisation.version
            seen.add(version)
            similarities = {match.record.image_id: match.similarity for match in found}
            for image_id, similarity in similarities.items():
                former = known.setdefault(version, {}).setdefault(image_id, similarity)
                if former != similarity:
                    wrong.append(f"{image_id} has two similarities in version {version}")

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for step in range(6):
            gallery.enroll_many(
                [
                    enrollment(
                        f"{step}-{n}",
                        camera_id="gate-2",
                        descriptor=descriptor(f"vehicle {step}-{n}", "gate-1" if step % 2 else "gate-3"),
                    )
                    for n in range(40 * (step + 1))
                ]
            )
            gallery.delete(f"gate-2/{step}")
            gallery.cameras.renew_if_due()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(seen) > 2
    assert_statistics_are_recomputed_ones(gallery)
    version = in_force(gallery)
    gallery.wait_for_snapshot()
    before = answers(gallery, "gate-1")
    gallery.close()
    reopened = open_gallery()
    assert reopened.cameras.normalisation().token == version.token
    assert answers(reopened, "gate-1") == before


def test_a_change_during_a_renewal_is_in_the_new_index(
    open_gallery: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", count=PER_CAMERA)
    gallery.cameras.wait()
    successor = gallery._renewal._successor
    filled = successor._fill

    def fill_then_change(vectors: Vectors, on_piece: Callable[[], None]) -> None:
        filled(vectors, on_piece)
        monkeypatch.setattr(successor, "_fill", filled)
        gallery.delete("gate-1/3")
        fill(gallery, "gate-1", count=1, first=900)

    monkeypatch.setattr(successor, "_fill", fill_then_change)
    fill(gallery, "gate-2")
    assert in_force(gallery).version == 1
    np.testing.assert_array_equal(gallery._vectors.ids(), gallery._store.changes.ids())
    assert gallery._vectors.sequence == gallery._store.changes.last()
    images = {image_id for image_id, _ in answers(gallery, "gate-1")}
    assert "gate-1/900" in images
    assert "gate-1/3" not in images


def test_off_undoes_what_auto_did_and_auto_does_it_again(open_gallery: Open) -> None:
    with open_gallery(normalisation="off") as gallery:
        fill(gallery, "gate-1", "gate-2")
        before = answers(gallery, "gate-1")
    with open_gallery(normalisation="auto") as gallery:
        assert in_force(gallery).version == 1
        assert answers(gallery, "gate-1") != before
    with open_gallery(normalisation="off") as gallery:
        assert answers(gallery, "gate-1") == before
        assert gallery.cameras.overview().mode == "off"
    with open_gallery(normalisation="on") as gallery:
        assert not in_force(gallery).is_raw


def test_opened_without_a_mode_a_gallery_keeps_its_version(open_gallery: Open) -> None:
    with open_gallery(normalisation="auto") as gallery:
        fill(gallery, "gate-1", "gate-2")
        version = in_force(gallery)
    with open_gallery() as gallery:
        fill(gallery, "gate-3")
        assert in_force(gallery).token == version.token
        assert gallery.cameras.overview().mode == "as found"


def test_auto_lets_go_where_too_few_images_are_left(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2", count=AUTO_IMAGES)
    assert not in_force(gallery).is_raw
    for number in range(AUTO_IMAGES - 1):
        gallery.delete(f"gate-2/{number}")
        gallery.cameras.wait()
    gallery.cameras.renew_if_due()
    assert in_force(gallery).is_raw
    assert in_force(gallery).version > 1


def test_a_camera_is_learned_from_images_that_are_not_enrolled(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2")
    assert in_force(gallery).use("gate-3") == "global"
    for number in range(30):
        assert gallery.cameras.calibrate(
            "gate-3", descriptor(f"calibration {number}", "gate-3"), bytes([number])
        )
    assert not gallery.cameras.calibrate("gate-3", descriptor("calibration 7", "gate-3"), bytes([7]))
    assert gallery.count() == 2 * PER_CAMERA
    gallery.cameras.wait()
    gallery.cameras.renew_if_due()
    assert in_force(gallery).use("gate-3") == "known"
    state = gallery.cameras.state("gate-3")
    assert (state.enrolled, state.calibrated) == (0, 30)
    gallery.close()
    reopened = open_gallery(normalisation="auto")
    assert reopened.cameras.state("gate-3").calibrated == 30
    reopened.cameras.forget_calibration("gate-3")
    with pytest.raises(UnknownCameraError, match="'gate-3'"):
        reopened.cameras.state("gate-3")
    with pytest.raises(UnknownCameraError):
        reopened.cameras.forget_calibration("gate-3")
    reopened.cameras.wait()
    reopened.cameras.renew_if_due()
    assert in_force(reopened).use("gate-3") == "global"
    assert not reopened.cameras.renew_if_due()


def test_a_calibration_that_was_begun_anew_is_to_be_erased_from_every_file(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.cameras.calibrate("gate-1", descriptor("calibration", "gate-1"), b"digest")
    assert gallery.unerased_seconds() == 0
    gallery.cameras.calibrate("gate-1", descriptor("another", "gate-1"), b"another", anew=True)
    assert gallery.unerased_seconds() > 0
    assert sums_of(gallery)["gate-1"].calibrated.count == 1


def test_a_calibration_stays_what_it_is_when_images_of_the_camera_come_and_go(open_gallery: Open) -> None:
    gallery = open_gallery()
    gallery.cameras.calibrate("gate-1", descriptor("calibration", "gate-1"), b"digest")
    before = sums_of(gallery)["gate-1"].calibrated
    fill(gallery, "gate-1", count=3)
    gallery.delete("gate-1/0")
    assert sums_of(gallery)["gate-1"].calibrated == before
    assert_statistics_are_recomputed_ones(gallery)


def test_what_is_no_descriptor_or_no_camera_is_not_counted(open_gallery: Open) -> None:
    gallery = open_gallery()
    with pytest.raises(InvalidEnrollmentError, match="camera_id"):
        gallery.cameras.calibrate("", descriptor("x", None), b"digest")
    with pytest.raises(InvalidEnrollmentError, match="descriptor"):
        gallery.cameras.calibrate("gate-1", np.ones(DIM, np.float32), b"digest")
    assert sums_of(gallery) == {}


def test_a_damaged_version_is_replaced_by_the_next(
    open_gallery: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_gallery(normalisation="auto") as gallery:
        fill(gallery, "gate-1", "gate-2")
        assert in_force(gallery).version == 1
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE normalisation_camera SET count = 999 WHERE camera_id = 'gate-1'")
        connection.commit()
    gallery = open_gallery(normalisation="auto")
    assert "version 1 of the normalisation is damaged (camera 'gate-1')" in caplog.text
    assert in_force(gallery).version == 2
    assert not in_force(gallery).is_raw


def test_a_damaged_descriptor_leaves_the_version_that_is_in_force(
    open_gallery: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_gallery() as gallery:
        fill(gallery, "gate-1", "gate-2")
        gallery.snapshot()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE descriptor SET data = zeroblob(32) WHERE record_id = 2")
        connection.commit()
    gallery = open_gallery(normalisation="auto")
    assert in_force(gallery).is_raw
    assert "no new version of the camera normalisation can be made: image_id 'gate-1/1'" in caplog.text
    assert gallery.search(descriptor("vehicle 3", "gate-1")[np.newaxis], k=1)[0]
    gallery.delete("gate-1/1")
    gallery.cameras.wait()
    gallery.cameras.renew_if_due()
    assert in_force(gallery).version == 1


def test_a_camera_is_shown_with_its_distance_and_what_normalising_does(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2", None)
    gallery.cameras.wait()
    overview = gallery.cameras.overview()
    assert [state.camera_id for state in overview.cameras] == ["gate-1", "gate-2"]
    assert [state.enrolled for state in overview.cameras] == [PER_CAMERA] * 2
    state = gallery.cameras.state("gate-1")
    assert state.distance is not None
    assert state.distance > 0.3
    effect = gallery.cameras.effect("gate-1")
    assert effect is not None
    assert effect.images == 2 * PER_CAMERA
    assert effect.before > effect.after
    assert effect.expected == pytest.approx((PER_CAMERA - 1) / (2 * PER_CAMERA - 1))
    assert gallery.cameras.effect("elsewhere") is None


def test_the_snapshot_names_what_made_its_vectors(open_gallery: Open, folder: Path) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2")
    token = in_force(gallery).token
    gallery.wait_for_snapshot()
    assert f'"normalisation": {token}' in (folder / "snapshot" / MANIFEST).read_text()


def test_what_is_estimated_is_what_is_in_force(open_gallery: Open) -> None:
    gallery = open_gallery(normalisation="auto")
    fill(gallery, "gate-1", "gate-2")
    gallery.cameras.wait()
    estimates = estimate(sums_of(gallery))
    assert estimates is not None
    assert estimates.drift(in_force(gallery)) == {"gate-1": 0.0, "gate-2": 0.0}


def test_as_many_cameras_as_probes_must_be_named(open_gallery: Open) -> None:
    gallery = open_gallery()
    with pytest.raises(ValueError, match="2 cameras are named for 1 probes"):
        gallery.search(descriptor("x", None)[np.newaxis], k=1, cameras=["a", "b"])
