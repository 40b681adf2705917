"""No vehicle, body design or camera is on both sides of the split of synthetic vehicles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.datasets.synthetic_split import TEST_CAMERAS, is_test_design, split_synthetic

DESIGNS = [f"sedan-{number:02}" for number in range(12)]


def images() -> list[VehicleImage]:
    """A vehicle of each design before each of nine cameras, and one more before c01 alone."""
    return [
        VehicleImage(
            Path(f"{design}-{number}-c0{camera}.jpg"), f"{design}-{number}", f"c0{camera}", model=design
        )
        for design in DESIGNS
        for number in range(2)
        for camera in range(1, 10)
        if number == 0 or camera == 1
    ]


def test_neither_designs_nor_cameras_are_on_both_sides() -> None:
    split = split_synthetic(images())
    tested = split.task.images()
    for part in ("vehicle_id", "model", "camera_id"):
        assert {getattr(i, part) for i in split.train}.isdisjoint(getattr(i, part) for i in tested)
    assert {image.camera_id for image in tested} == TEST_CAMERAS
    assert len({image.camera_id for image in split.train}) == 6


def test_vehicles_before_one_test_camera_are_distractors() -> None:
    task = split_synthetic(images()).task
    assert task.gallery is not None
    alone = {image.vehicle_id for image in task.gallery} - {image.vehicle_id for image in task.queries}
    assert alone
    assert all(vehicle.endswith("-1") for vehicle in alone)
    assert all(image.vehicle_id.endswith("-0") for image in task.queries)


def test_which_designs_are_held_out_is_fixed() -> None:
    assert [name for name in DESIGNS if is_test_design(name)] == ["sedan-00", "sedan-08", "sedan-09"]


def test_images_of_unknown_design_are_refused_with_the_column() -> None:
    first, *others = images()
    with pytest.raises(DatasetError, match=r"sedan-00-0-c01\.jpg: .*columns model and camera_id"):
        split_synthetic([replace(first, model=""), *others])


def test_a_set_without_both_sides_is_refused() -> None:
    seen = [image for image in images() if image.camera_id not in TEST_CAMERAS]
    with pytest.raises(DatasetError, match="and 0 queries; give the whole"):
        split_synthetic(seen)


def test_the_manifest_names_designs_and_groups(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,vehicle_id,camera_id,model,group\na.jpg,s1,c01,bus-03,g7\n", encoding="utf-8")
    (image,) = read_manifest(manifest)
    assert (image.model, image.group) == ("bus-03", "g7")
