"""What is trained and measured on."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from training.config.section import Section
from training.datasets.dataset import Dataset, Task
from training.datasets.folds import Part, identity_folds
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.layouts import AUTO, LAYOUT_NAMES, known_layout
from training.datasets.split import split_dataset, thinned
from training.datasets.synthetic_split import split_synthetic


class DataConfig(Section):
    """What is trained and measured on; the path is given on the command line."""

    layout: Annotated[str, AfterValidator(known_layout)] = Field(
        default=AUTO, description=f"how it lies on disk: {LAYOUT_NAMES}; {AUTO}: recognised by its files"
    )
    validation_vehicles: Annotated[int, Field(ge=0)] = Field(
        default=0, description="vehicles to set aside to measure on where the data has no part for that"
    )
    split_seed: Annotated[int, Field(ge=0)] = Field(default=0, description="which vehicles these are")
    images_per_vehicle: Annotated[int, Field(ge=0)] = Field(
        default=0, description="use at most this many of a vehicle's images, evenly chosen; 0: all"
    )
    measured_per_vehicle: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="the same for the vehicles set aside to measure on; null: as many as are learned from",
    )

    measured: bool = Field(
        default=True,
        description="false: learn from all vehicles, measure on none, and export without figures",
    )
    unreadable: Literal["refuse", "skip"] = Field(
        default="refuse", description="images that cannot be read: refuse the data, or leave them out"
    )
    further: Literal["all", "synthetic-training"] = Field(
        default="all",
        description="what is learned from of a further data set: all of it, or the training part of "
        "synthetic-vehicles (training.datasets.synthetic_split)",
    )

    def further_images(self, dataset: Dataset) -> list[VehicleImage]:
        """What to train on of a further data set, its vehicles and cameras under its own name.

        Raises:
            DatasetError: see `split_synthetic`.
        """
        images = dataset.train
        if self.further == "synthetic-training":
            images = split_synthetic(images).train
        name = dataset.folder.name
        return [
            replace(
                image,
                vehicle_id=f"{name}/{image.vehicle_id}",
                camera_id=f"{name}/{image.camera_id}" if image.camera_id else "",
                group=f"{name}/{image.group}" if image.group else "",
                domain=name,
            )
            for image in images
        ]

    def split(self, dataset: Dataset) -> tuple[list[VehicleImage], list[Task]]:
        """What to train and what to measure on.

        Raises:
            DatasetError: see `split_dataset`.
        """
        if not self.measured:
            if not dataset.train:
                raise DatasetError(f"{dataset.root}: has no training images")
            return thinned(dataset.train, self.images_per_vehicle), []
        return split_dataset(
            dataset,
            self.validation_vehicles,
            self.split_seed,
            images_per_vehicle=self.images_per_vehicle,
            measured_per_vehicle=self.measured_per_vehicle,
        )

    def parts(self, dataset: Dataset, folds: int) -> list[Part]:
        """The data's own split (folds = 1), or folds of its training vehicles.

        Raises:
            DatasetError: there is no such split, or nothing to measure on.
        """
        if folds > 1:
            return list(identity_folds(dataset.train, folds))
        train, tasks = self.split(dataset)
        if not tasks:
            raise DatasetError(f"{dataset.root}: has nothing to measure on; take --folds 2 or more")
        return [Part(0, train, tasks[0])]
