"""Splitting images by identity: no vehicle on both sides, or in two folds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from training.datasets.image import DatasetError, VehicleImage


@dataclass(frozen=True)
class Split:
    """Images of vehicles to learn from and of other vehicles to measure on."""

    train: list[VehicleImage]
    validation: list[VehicleImage]


def split_by_identity(images: list[VehicleImage], validation_vehicles: int, seed: int) -> Split:
    """Set `validation_vehicles` whole vehicles aside, each vehicle type in proportion.

    The same images (in any order) and the same seed give the same split.

    Raises:
        DatasetError: fewer vehicles than that, or none left to learn from.
    """
    types = {image.vehicle_id: image.vehicle_type for image in images}
    if not 0 < validation_vehicles < len(types):
        raise DatasetError(f"cannot set {validation_vehicles} of {len(types)} vehicles aside")
    # Spreading each type evenly over the order makes every slice of it a fair sample of the types.
    source = random.Random(seed)  # noqa: S311
    position: dict[str, float] = {}
    totals = Counter(types.values())
    for vehicle_type in sorted(totals):
        members = sorted(v for v, t in types.items() if t == vehicle_type)
        source.shuffle(members)
        offset = source.random()
        position |= {v: (i + offset) / len(members) for i, v in enumerate(members)}
    chosen = set(sorted(position, key=lambda v: (position[v], v))[:validation_vehicles])
    return Split(
        train=[image for image in images if image.vehicle_id not in chosen],
        validation=[image for image in images if image.vehicle_id in chosen],
    )


def vehicle_folds(images: Sequence[VehicleImage], folds: int, seed: int) -> list[set[str]]:
    """The vehicles in `folds` parts, of about the same size.

    The same vehicles and the same seed give the same folds.

    Raises:
        DatasetError: fewer vehicles than folds.
    """
    vehicles = sorted({image.vehicle_id for image in images})
    if len(vehicles) < folds:
        raise DatasetError(f"{folds} folds of {len(vehicles)} vehicles")
    random.Random(seed).shuffle(vehicles)  # noqa: S311
    return [set(vehicles[number::folds]) for number in range(folds)]
