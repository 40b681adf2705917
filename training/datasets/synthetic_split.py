"""The split of *synthetic-vehicles*: the vehicles and the cameras that are measured on are never trained on.

Whole body designs are held out, not single vehicles: two vehicles of one design differ in details only, and
an embedder that has learned one of them knows the other.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from training.datasets.dataset import Task
from training.datasets.image import DatasetError, VehicleImage

TEST_CAMERAS = frozenset({"c01", "c05", "c08"})
TEST = "synthetic test vehicles"
"""The name of what is measured on."""
HELD_OUT = 4
"""One body design in so many is a test design."""


@dataclass(frozen=True)
class SyntheticSplit:
    """What may be learned from, and what is measured on.

    Attributes:
        train: training vehicles before training cameras.
        task: test vehicles before test cameras. Vehicles that only one test camera saw are no queries.
    """

    train: list[VehicleImage]
    task: Task


def is_test_design(model: str) -> bool:
    """Whether vehicles of a body design are test vehicles: decided by its name's SHA-256 alone."""
    return int(hashlib.sha256(model.encode()).hexdigest(), 16) % HELD_OUT == 0


def split_synthetic(images: Sequence[VehicleImage]) -> SyntheticSplit:
    """Divide the set's images; training vehicles before test cameras and the reverse are in neither part.

    Raises:
        DatasetError: an image whose body design or camera is unknown, or a part would be empty.
    """
    for image in images:
        if not image.model or not image.camera_id:
            raise DatasetError(
                f"{image.place()}: the split of synthetic vehicles needs the columns model and camera_id"
            )
    train = [i for i in images if not is_test_design(i.model) and i.camera_id not in TEST_CAMERAS]
    gallery = [i for i in images if is_test_design(i.model) and i.camera_id in TEST_CAMERAS]
    cameras: dict[str, set[str]] = defaultdict(set)
    for image in gallery:
        cameras[image.vehicle_id].add(image.camera_id)
    queries = [image for image in gallery if len(cameras[image.vehicle_id]) > 1]
    if not train or not queries:
        raise DatasetError(
            f"{len(images):,} images leave {len(train):,} to train on and {len(queries):,} queries; "
            "give the whole of synthetic-vehicles"
        )
    return SyntheticSplit(train, Task(TEST, queries, gallery))
