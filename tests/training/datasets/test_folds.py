from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.conftest import pretend
from training.datasets.folds import identity_folds, vehicle_folds
from training.datasets.image import DatasetError
from training.datasets.readers.manifest import read_manifest


def test_folds_hold_every_vehicle_once_and_are_the_same_in_any_order() -> None:
    images = pretend(11)
    folds = vehicle_folds(images, 3, seed=0)
    assert sorted(map(len, folds)) == [3, 4, 4]
    assert sorted(vehicle for fold in folds for vehicle in fold) == sorted({i.vehicle_id for i in images})
    assert vehicle_folds(images[::-1], 3, seed=0) == folds
    assert vehicle_folds(images, 3, seed=1) != folds
    with pytest.raises(DatasetError, match="12 folds of 11 vehicles"):
        vehicle_folds(images, 12, seed=0)


def test_every_vehicle_is_measured_in_one_fold_and_trained_on_in_the_others(tree: Path) -> None:
    images = read_manifest(tree)
    parts = list(identity_folds(images, 3))
    measured = [image.vehicle_id for part in parts for image in part.task.queries]
    assert sorted(measured) == sorted(image.vehicle_id for image in images)
    for part in parts:
        own = {image.vehicle_id for image in part.task.queries}
        assert own.isdisjoint(image.vehicle_id for image in part.train)
        assert len(own) == 4
        # A third of the vehicles are trucks, in every fold too.
        assert 1 <= len({i.vehicle_id for i in part.task.queries if i.vehicle_type == "truck"}) <= 2
    with pytest.raises(DatasetError, match="13 folds of 12 vehicles"):
        list(identity_folds(images, 13))
