from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.conftest import pretend
from training.datasets.image import DatasetError
from training.datasets.manifest import read_manifest
from training.datasets.split import split_by_identity, vehicle_folds


def test_a_manifest_is_read_in_its_order(tree: Path) -> None:
    images = read_manifest(tree)
    assert [image.path.name for image in images[:3]] == ["v00_cam1.png", "v00_cam2.png", "v01_cam1.png"]
    assert images[0].vehicle_type == "truck"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,camera_id\n", "column vehicle_id is missing"),
        ("path,vehicle_id,camera_id\n", "lists no image"),
        ("path,vehicle_id,camera_id\nnone.jpg,1,c\n", "line 2: .*none.jpg does not exist"),
        ("path,vehicle_id,camera_id\nv00_cam1.png,,c\n", "line 2: vehicle_id is empty"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_with_its_line(tree: Path, text: str, message: str) -> None:
    broken = tree.with_name("broken.csv")
    broken.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_manifest(broken)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv: no such manifest"):
        read_manifest(tmp_path / "none.csv")


def test_no_vehicle_is_on_both_sides_of_a_split_and_none_is_lost() -> None:
    images = pretend(50)
    split = split_by_identity(images, 10, seed=3)
    train = {image.vehicle_id for image in split.train}
    validation = {image.vehicle_id for image in split.validation}
    assert not train & validation
    assert len(train) == 40
    assert len(validation) == 10
    assert len(split.train) + len(split.validation) == len(images)


def test_a_split_holds_each_type_in_proportion() -> None:
    split = split_by_identity(pretend(60, kinds=3), 30, seed=1)
    types = [image.vehicle_type for image in split.validation]
    assert {kind: types.count(kind) for kind in set(types)} == {"type0": 20, "type1": 20, "type2": 20}


def test_a_split_depends_on_the_seed_and_not_on_the_order_of_the_images() -> None:
    images = pretend(40)
    first = {image.vehicle_id for image in split_by_identity(images, 8, seed=0).validation}
    again = {image.vehicle_id for image in split_by_identity(images[::-1], 8, seed=0).validation}
    other = {image.vehicle_id for image in split_by_identity(images, 8, seed=1).validation}
    assert first == again
    assert first != other


@pytest.mark.parametrize("count", [0, 5, 6])
def test_a_split_needs_vehicles_on_both_sides(count: int) -> None:
    with pytest.raises(DatasetError, match=f"cannot set {count} of 5 vehicles aside"):
        split_by_identity(pretend(5), count, seed=0)


def test_folds_hold_every_vehicle_once_and_are_the_same_in_any_order() -> None:
    images = pretend(11)
    folds = vehicle_folds(images, 3, seed=0)
    assert sorted(map(len, folds)) == [3, 4, 4]
    assert sorted(vehicle for fold in folds for vehicle in fold) == sorted({i.vehicle_id for i in images})
    assert vehicle_folds(images[::-1], 3, seed=0) == folds
    assert vehicle_folds(images, 3, seed=1) != folds
    with pytest.raises(DatasetError, match="12 folds of 11 vehicles"):
        vehicle_folds(images, 12, seed=0)
