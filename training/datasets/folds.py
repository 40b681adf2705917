"""Folds by identity: equal parts of the vehicles, each measured on once while the others are learned from."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.wording import counted
from training.datasets.dataset import Task
from training.datasets.image import DatasetError, VehicleImage


@dataclass(frozen=True)
class Part:
    """Vehicles to train on and a task with others.

    Attributes:
        number: of the fold, from 0.
        train: images to learn from.
        task: to measure on.
    """

    number: int
    train: list[VehicleImage]
    task: Task


def vehicle_folds(
    images: Sequence[VehicleImage], folds: int, seed: int | str, *, by_type: bool = False
) -> list[set[str]]:
    """The vehicles in `folds` parts of about the same size, in random order.

    The same vehicles and the same seed give the same folds.

    Args:
        images: of the vehicles.
        folds: how many.
        seed: of the order.
        by_type: spread each vehicle type evenly over the folds.

    Raises:
        DatasetError: fewer vehicles than folds.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for vehicle, kind in sorted({image.vehicle_id: image.vehicle_type for image in images}.items()):
        groups[kind if by_type else ""].append(vehicle)
    source = random.Random(seed)  # noqa: S311
    order: list[str] = []
    for kind in sorted(groups):
        source.shuffle(groups[kind])
        order += groups[kind]
    if len(order) < folds:
        raise DatasetError(f"{folds} folds of {counted(len(order), 'vehicle')}")
    return [set(order[number::folds]) for number in range(folds)]


def identity_folds(images: Sequence[VehicleImage], folds: int, seed: int = 0) -> Iterator[Part]:
    """Each fold's vehicles to measure on, all others to train on; vehicle types are spread evenly.

    Raises:
        DatasetError: fewer vehicles than folds.
    """
    for number, chosen in enumerate(vehicle_folds(images, folds, seed, by_type=True)):
        measured = [image for image in images if image.vehicle_id in chosen]
        train = [image for image in images if image.vehicle_id not in chosen]
        yield Part(number, train, Task(f"fold {number + 1} of {folds}", measured, measured))
