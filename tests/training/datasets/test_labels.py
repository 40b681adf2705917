"""Names that are no vehicle's, and folders whose levels are the wrong way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.conftest import pretend
from tests.training.datasets import trees
from training.datasets.check import check
from training.datasets.findings import Severity
from training.datasets.image import VehicleImage
from training.datasets.labels import check_labels
from training.datasets.readers.folder import read


def image(vehicle: str, camera: str, number: int = 0) -> VehicleImage:
    return VehicleImage(Path(f"{vehicle}/{camera}/{number}.jpg"), vehicle, camera)


@pytest.mark.parametrize("name", ["unknown", "Unknown", "none", "N/A", "-1", "unlabelled", "distractor"])
def test_a_vehicle_called_unknown_is_not_taken_for_one_vehicle(name: str) -> None:
    (found,) = check_labels([*pretend(5), image(name, "c0"), image(name, "c1")])
    assert found.severity is Severity.error
    assert f"2 images are of vehicle {name!r}" in found.message
    assert check_labels([*pretend(5), image(name, "c0")]) == [], "one image is mistaken for nobody's"


def test_folders_of_cameras_that_hold_vehicles_are_an_error(tmp_path: Path) -> None:
    for number, (first, second) in enumerate(trees.demo_images(3)):
        trees.copy(first, tmp_path / "cam1" / f"v{number}" / "1.jpg")
        trees.copy(second, tmp_path / "cam2" / f"v{number}" / "1.jpg")
    kinds = {finding.kind: finding for finding in check(read(tmp_path))}
    assert kinds["wrong way round"].severity is Severity.error
    assert "vehicle/camera/ is wanted" in kinds["wrong way round"].message


def test_folders_of_cameras_full_of_unnamed_crops_are_odd() -> None:
    crops = [image(gate, "", number) for gate in ("Einfahrt", "Hof") for number in range(30)]
    (found,) = check_labels(crops)
    assert (found.kind, found.severity) == ("few vehicles", Severity.warning)
    assert "2 vehicles with 30 images each" in found.message
    assert "lka-reid adapt" in found.message
    assert check_labels(crops[:-1]) == [], "fewer may be one vehicle's"
    assert check_labels([*crops, image("Hof", "north")]) == [], "cameras are known"


def test_many_cameras_and_few_vehicles_are_odd_whatever_their_names() -> None:
    (found,) = check_labels(
        [image(side, f"{number:04}") for side in ("north", "south") for number in range(12)]
    )
    assert (found.kind, found.severity) == ("more cameras than vehicles", Severity.warning)
    assert check_labels(pretend(30, cameras=12)) == []
    assert check_labels(pretend(3, cameras=6)) == []
