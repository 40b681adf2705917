"""What of a data set is learned from, and what is measured on."""

from __future__ import annotations

from collections import defaultdict

from training.config.embedder import DataConfig
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.split import split_by_identity


def divide(dataset: Dataset, config: DataConfig) -> tuple[list[VehicleImage], list[Task]]:
    """What to train and what to measure on; whole vehicles are set aside where the data does not say.

    Raises:
        DatasetError: nothing to train on, or the data is not divided and no vehicles are to be set aside.
    """
    if not dataset.train:
        raise DatasetError(f"{dataset.root}: has no training images")
    if dataset.divided and (dataset.tasks or not config.validation_vehicles):
        return dataset.train, dataset.tasks
    if not config.validation_vehicles:
        raise DatasetError(
            f"{dataset.root}: is not divided into training and test; "
            "set data.validation_vehicles to how many vehicles to measure on"
        )
    split = split_by_identity(dataset.train, config.validation_vehicles, config.split_seed)
    train = thinned(split.train, config.images_per_vehicle)
    most = config.measured_per_vehicle
    measured = thinned(split.validation, config.images_per_vehicle if most is None else most)
    return train, [Task("validation vehicles", measured, measured)]


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
