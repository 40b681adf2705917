from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import pretend
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.split import split_by_identity, split_dataset, thinned, whole_vehicles


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


def test_thinning_keeps_every_vehicle_and_spreads_over_its_images() -> None:
    images = [VehicleImage(Path(f"{v}_{i}.jpg"), f"v{v}", "") for v in range(3) for i in range(3 + 4 * v)]
    kept = thinned(images, 4)
    counts = [sum(image.vehicle_id == f"v{v}" for image in kept) for v in range(3)]
    assert counts == [3, 4, 4]
    assert [image.path.name for image in kept if image.vehicle_id == "v2"] == [
        "2_0.jpg",
        "2_2.jpg",
        "2_5.jpg",
        "2_8.jpg",
    ]
    assert thinned(images, 0) is images


def test_vehicles_that_are_measured_may_keep_more_images_than_those_learned_from() -> None:
    images = [VehicleImage(Path(f"{v}-{n}.jpg"), f"v{v}", "") for v in range(6) for n in range(5)]
    dataset = Dataset("manifest", Path("tree"), images, [], has_split=False)

    def counts(**keys: Any) -> tuple[int, int]:
        train, (task,) = split_dataset(dataset, 2, **keys)
        assert not {i.vehicle_id for i in train} & {i.vehicle_id for i in task.images()}
        return len(train), len(task.images())

    assert counts() == (20, 10)
    assert counts(images_per_vehicle=2) == (8, 4)
    assert counts(images_per_vehicle=2, measured_per_vehicle=0) == (8, 10)
    assert counts(images_per_vehicle=2, measured_per_vehicle=3) == (8, 6)


@pytest.mark.parametrize(
    ("vehicles", "remedy"), [(9, "set data.validation_vehicles to 7 or fewer"), (2, "add vehicles")]
)
def test_setting_all_vehicles_aside_is_refused_with_the_setting(vehicles: int, remedy: str) -> None:
    images = pretend(vehicles)
    dataset = Dataset("manifest", Path("own"), images, [Task("all", images, images)], has_split=False)
    with pytest.raises(DatasetError, match=f"own: has {vehicles} vehicles, .*; {remedy}"):
        split_dataset(dataset, 9)


def test_fewer_images_are_whole_vehicles_and_a_small_domain_leaves_its_share_to_the_others() -> None:
    small = pretend(5)
    large = [replace(i, vehicle_id=f"r/{i.vehicle_id}", domain="rendered") for i in pretend(40, cameras=3)]
    kept = whole_vehicles([*small, *large], 60, seed=0)
    assert [image for image in kept if not image.domain] == small
    counts = Counter(image.vehicle_id for image in kept if image.domain)
    assert set(counts.values()) == {3}
    assert len(counts) == 50 // 3
    assert whole_vehicles([*small, *large], 60, seed=1) != kept
    assert whole_vehicles(small, 0, seed=0) == whole_vehicles(small, 100, seed=0) == small
