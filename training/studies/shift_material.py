"""What a bundle is measured on before new cameras: held-out vehicles, synthetic ones, classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.bundle import Bundle
from training.config.data import DataConfig
from training.datasets.dataset import Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.layouts import open_dataset
from training.datasets.split import thinned
from training.datasets.synthetic_split import TEST, split_synthetic
from training.evaluation.shift.conditions import OF_TWO_CAMERAS, Kind, TwoCameras
from training.export.swap_reranker import check_held_out

CLASSES = "class retrieval"
"""The condition of classes."""
OF_A_CLASS = 20
"""Images of each class that are measured on, evenly spaced in the data set's order."""


@dataclass(frozen=True)
class Material:
    """What is measured on; None or empty for what is not at hand.

    Attributes:
        cameras: vehicles before two cameras, none of them trained on.
        synthetic: test vehicles before test cameras.
        classes: images whose vehicle is a class.
    """

    cameras: TwoCameras | None = None
    synthetic: Task | None = None
    classes: Sequence[VehicleImage] = ()

    def kinds(self) -> list[Kind]:
        """What can be measured."""
        found = list(OF_TWO_CAMERAS) if self.cameras is not None else []
        found += [Kind.synthetic] if self.synthetic is not None else []
        return found + ([Kind.classes] if self.classes else [])


@dataclass(frozen=True)
class Paths:
    """Data sets, each None where it is not at hand.

    Attributes:
        cameras: with vehicles before two cameras.
        synthetic: *synthetic-vehicles*.
        classes: with classes in the place of vehicles.
    """

    cameras: Path | None = None
    synthetic: Path | None = None
    classes: Path | None = None

    def require(self, kinds: Iterable[Kind]) -> None:
        """Refuse kinds of conditions that no set is given for.

        Raises:
            DatasetError: one of them; it names the option of its set.
        """
        given = self._given()
        for kind in kinds:
            if not given[option := _option_of(kind)]:
                raise DatasetError(f"there is nothing to measure {kind} on; give {option}")

    def require_all_of(self, conditions: Iterable[str]) -> None:
        """Refuse to replace figures under conditions that these sets cannot give.

        Args:
            conditions: their names.

        Raises:
            DatasetError: a set of one of them is not given.
        """
        given = self._given()
        needed = dict.fromkeys(_option_of(_kind_of(condition)) for condition in conditions)
        if lacking := " and ".join(option for option in needed if not given[option]):
            raise DatasetError(
                f"the manifest has figures measured with {lacking}, which --write would take away; give "
                f"{lacking}, too, or measure without --write"
            )

    def _given(self) -> dict[str, bool]:
        """Whether each option's set is given."""
        return {
            "--data": self.cameras is not None,
            "--synthetic": self.synthetic is not None,
            "--classes": self.classes is not None,
        }

    def read(self, bundle: Bundle, split: DataConfig, limit: int | None = None) -> Material:
        """The vehicles of these sets that a bundle may be measured on.

        Args:
            bundle: to measure.
            split: which vehicles before two cameras are measured on.
            limit: vehicles of each set at most; None for all.

        Raises:
            DatasetError: no set is given, one cannot be read or is of another kind, or the bundle was
                trained on vehicles that the split measures.
        """
        if self.cameras is None and self.synthetic is None and self.classes is None:
            raise DatasetError("there is nothing to measure on; give --data, --synthetic or --classes")
        return Material(
            self._two_cameras(bundle, split, limit),
            self._synthetic_task(limit),
            self._class_images(limit),
        )

    def _two_cameras(self, bundle: Bundle, split: DataConfig, limit: int | None) -> TwoCameras | None:
        if self.cameras is None:
            return None
        _, tasks = split.split(open_dataset(self.cameras, split.layout))
        images = [image for task in tasks[:1] for image in task.images()]
        check_held_out(bundle, images)
        return TwoCameras.of(limited(images, limit))

    def _class_images(self, limit: int | None) -> list[VehicleImage]:
        if self.classes is None:
            return []
        return limited(thinned(open_dataset(self.classes).images(), OF_A_CLASS), limit)

    def _synthetic_task(self, limit: int | None) -> Task | None:
        if self.synthetic is None:
            return None
        task = split_synthetic(open_dataset(self.synthetic).images()).task
        queries = limited(task.queries, limit)
        left = {image.vehicle_id for image in queries}
        gallery = [image for image in task.gallery or () if limit is None or image.vehicle_id in left]
        return Task(task.name, queries, gallery)


def _kind_of(condition: str) -> Kind:
    """The kind of a condition, or one of the same set of data."""
    return {TEST: Kind.synthetic, CLASSES: Kind.classes}.get(condition, Kind.seen)


def _option_of(kind: Kind) -> str:
    """The option that gives the set which a kind of condition is measured on."""
    return "--data" if kind in OF_TWO_CAMERAS else f"--{kind}"


def limited(images: Sequence[VehicleImage], most: int | None) -> list[VehicleImage]:
    """The images of at most so many vehicles, drawn by their names; None for all."""
    if most is None:
        return list(images)
    vehicles = {image.vehicle_id for image in images}
    chosen = set(sorted(vehicles, key=lambda name: hashlib.sha256(name.encode()).digest())[:most])
    return [image for image in images if image.vehicle_id in chosen]
