"""Splits by identity into vehicles to learn from and vehicles to measure on: no vehicle is in both."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass

from models.wording import counted
from training.datasets.dataset import Dataset, Task
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
        raise DatasetError(f"cannot set {validation_vehicles} of {counted(len(types), 'vehicle')} aside")
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


def split_dataset(
    dataset: Dataset,
    validation_vehicles: int,
    seed: int = 0,
    *,
    images_per_vehicle: int = 0,
    measured_per_vehicle: int | None = None,
) -> tuple[list[VehicleImage], list[Task]]:
    """What to train and what to measure on; whole vehicles are set aside where the data does not say.

    Args:
        dataset: on disk.
        validation_vehicles: to set aside where the data has no test split.
        seed: which vehicles these are.
        images_per_vehicle: at most so many are learned from; 0 for all.
        measured_per_vehicle: the same for the vehicles set aside; None for as many as are learned from.

    Raises:
        DatasetError: nothing to train on, or the data is not split and no vehicles are to be set aside, or
            all of them.
    """
    if not dataset.train:
        raise DatasetError(f"{dataset.root}: has no training images")
    if dataset.has_split and (dataset.tasks or not validation_vehicles):
        return dataset.train, dataset.tasks
    if not validation_vehicles:
        raise DatasetError(
            f"{dataset.root}: is not split into training and test; "
            "set data.validation_vehicles to how many vehicles to measure on, or data.measured to false to "
            "have nothing measured"
        )
    vehicles = len({image.vehicle_id for image in dataset.train})
    if validation_vehicles >= vehicles:
        raise DatasetError(
            f"{dataset.root}: has {counted(vehicles, 'vehicle')}, and "
            f"{counted(validation_vehicles, 'is', 'are')} to be set aside to measure on; {_fewer(vehicles)}"
        )
    split = split_by_identity(dataset.train, validation_vehicles, seed)
    most = images_per_vehicle if measured_per_vehicle is None else measured_per_vehicle
    measured = thinned(split.validation, most)
    return thinned(split.train, images_per_vehicle), [Task("validation vehicles", measured, measured)]


def _fewer(vehicles: int) -> str:
    # It takes two to learn to tell vehicles apart.
    return f"set data.validation_vehicles to {vehicles - 2:,} or fewer" if vehicles > 2 else "add vehicles"


def whole_vehicles(images: list[VehicleImage], most: int, seed: int) -> list[VehicleImage]:
    """At most so many images, all of each vehicle that is kept, from each domain alike; all for 0.

    A domain that has fewer than its share leaves the rest of it to the others.
    """
    if not most or len(images) <= most:
        return images
    domains: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for image in images:
        domains[image.domain][image.vehicle_id] += 1
    kept: set[str] = set()
    left = most
    by_size = sorted(domains.values(), key=lambda vehicles: sum(vehicles.values()))
    for number, vehicles in enumerate(by_size):
        share = left // (len(by_size) - number)
        order = sorted(vehicles)
        random.Random(seed).shuffle(order)  # noqa: S311
        for vehicle in order:
            if vehicles[vehicle] > share:
                break
            share -= vehicles[vehicle]
            left -= vehicles[vehicle]
            kept.add(vehicle)
    return [image for image in images if image.vehicle_id in kept]


def thinned(images: list[VehicleImage], most: int) -> list[VehicleImage]:
    """At most so many images of each vehicle, evenly spaced in their order; all of them for 0."""
    if not most:
        return images
    of_vehicle: dict[str, list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        of_vehicle[image.vehicle_id].append(place)
    kept = {
        places[i * len(places) // min(most, len(places))]
        for places in of_vehicle.values()
        for i in range(min(most, len(places)))
    }
    return [image for place, image in enumerate(images) if place in kept]
