"""The conditions that a bundle is measured under, each as trials on embedded images."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import pairwise

import numpy as np
from PIL import Image

from training.datasets.dataset import Task
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.result import Indices
from training.evaluation.shift.degradations import DEGRADATIONS, OCCLUSIONS, degraded
from training.evaluation.shift.embedding import ImageSet
from training.evaluation.shift.trial import Trial
from training.evaluation.shift.virtual_cameras import VIRTUAL_CAMERAS
from training.features.extract import Features

MOVED = 0.37
"""Share of the vehicles of a mixed gallery that one camera of theirs is replaced for."""

Embed = Callable[[ImageSet], Features]


class Kind(StrEnum):
    """What is measured."""

    seen = "seen"
    virtual = "virtual"
    mixed = "mixed"
    degraded = "degraded"
    occluded = "occluded"
    synthetic = "synthetic"
    classes = "classes"


OF_TWO_CAMERAS = (Kind.seen, Kind.virtual, Kind.mixed, Kind.degraded, Kind.occluded)
UNASKED = tuple(kind for kind in Kind if kind is not Kind.occluded)
"""What is measured where nothing is said; the occlusions of `degraded` are enough then."""


@dataclass(frozen=True, eq=False)
class Condition:
    """A trial and the conditions that its queries count for.

    Attributes:
        names: rows of the table that all queries count for.
        trial: with the queries.
        by_vehicle: rows that the queries of some vehicles count for.
    """

    names: tuple[str, ...]
    trial: Trial
    by_vehicle: tuple[tuple[str, frozenset[str]], ...] = ()


@dataclass(frozen=True)
class TwoCameras:
    """Vehicles before two cameras.

    Attributes:
        first: images of one camera.
        second: images of the other, which virtual cameras take the place of.
    """

    first: list[VehicleImage]
    second: list[VehicleImage]

    @classmethod
    def of(cls, images: Sequence[VehicleImage]) -> TwoCameras:
        """Divide images by their cameras; the second is the later by name.

        Raises:
            DatasetError: they are not from two cameras.
        """
        names = sorted({image.camera_id for image in images})
        if len(names) != 2 or "" in names:
            known = ", ".join(name or "unknown" for name in names)
            raise DatasetError(f"virtual cameras stand in for one of two cameras; there are {known}")
        first, second = ([i for i in images if i.camera_id == name] for name in names)
        return cls(first, second)

    def conditions(self, kind: Kind, embed: Embed, seed: int, name: str = "") -> Iterator[Condition]:
        """The conditions of a kind.

        Args:
            kind: one of `OF_TWO_CAMERAS`.
            embed: gives features.
            seed: of which vehicles a mixed gallery has before virtual cameras.
            name: distinguishes the trials from those of other vehicles.
        """
        first = embed(ImageSet(f"{name}first camera", self.first))
        second = embed(ImageSet(f"{name}second camera", self.second))
        if kind is Kind.seen:
            trial = Trial(f"{name}seen", (first, second), both_ways(first, second))
            yield Condition(("seen cameras",), trial)
        elif kind in (Kind.degraded, Kind.occluded):
            for change in DEGRADATIONS if kind is Kind.degraded else OCCLUSIONS:
                bad = [embed(self._degraded(name, change, side)) for side in ("first", "second")]
                yield _degraded_condition(f"{name}{change}", change, (first, second, *bad))
        else:
            for camera in VIRTUAL_CAMERAS:
                seen = [replace(image, camera_id=camera.name) for image in self.second]
                other = embed(ImageSet(f"{name}virtual camera {camera.name}", seen, camera.see))
                if kind is Kind.virtual:
                    trial = Trial(f"{name}{camera.name}", (first, other), both_ways(first, other))
                    yield Condition(("all virtual cameras", f"virtual: {camera.name}"), trial)
                else:
                    yield _mixed(
                        f"{name}mixed {camera.name}", (first, second, other), f"{seed}/{camera.name}"
                    )

    def _degraded(self, name: str, change: str, side: str) -> ImageSet:
        images = self.first if side == "first" else self.second
        return ImageSet(f"{name}{side} camera {change}", images, partial(_change, change))


def _change(kind: str, image: Image.Image, name: str) -> Image.Image:
    return degraded(image, kind, name)


def both_ways(first: Features, second: Features) -> tuple[tuple[Indices, Indices], ...]:
    """Each part searches the other; positions count through both."""
    one = np.arange(len(first.images))
    other = len(first.images) + np.arange(len(second.images))
    return (one, other), (other, one)


def _degraded_condition(name: str, change: str, parts: tuple[Features, ...]) -> Condition:
    ends = np.cumsum([0, *(len(part.images) for part in parts)])
    first, second, bad_first, bad_second = (np.arange(a, b) for a, b in pairwise(ends))
    trial = Trial(name, parts, ((bad_first, second), (bad_second, first)), known=2)
    return Condition((f"degraded: {change}",), trial)


def _mixed(name: str, parts: tuple[Features, Features, Features], seed: str) -> Condition:
    """One gallery, in which the second view of some vehicles is from the virtual camera."""
    first, second, other = parts
    vehicles = sorted(set(second.vehicles.tolist()))
    count = round(MOVED * len(vehicles))
    moved = frozenset(random.Random(seed).sample(vehicles, count))  # noqa: S311
    is_moved = np.isin(second.vehicles, sorted(moved))
    stay, go = second.select(np.flatnonzero(~is_moved)), other.select(np.flatnonzero(is_moved))
    one = np.arange(len(first.images))
    views = len(one) + np.arange(len(second.images))
    trial = Trial(name, (first, stay, go), ((one, views), (views, one)))
    left = frozenset(vehicles) - moved
    return Condition(
        ("mixed gallery",),
        trial,
        (
            ("mixed: one view virtual", moved),
            ("mixed: both views seen", left),
        ),
    )


def cross_camera_condition(task: Task, embed: Embed) -> Condition:
    """A task whose queries lie in its gallery, all of it one trial.

    Raises:
        DatasetError: the gallery is to be drawn.
    """
    if task.gallery is None:
        raise DatasetError(f"{task.name}: its gallery is drawn at random, which is not measured here")
    features = embed(ImageSet(task.name, task.gallery))
    asking = {image.path for image in task.queries}
    queries = np.array([n for n, image in enumerate(task.gallery) if image.path in asking])
    trial = Trial(task.name, (features,), ((queries, np.arange(len(task.gallery))),))
    return Condition((task.name,), trial)


def class_condition(images: Sequence[VehicleImage], embed: Embed, name: str) -> Condition:
    """Class retrieval: each image searches all others."""
    features = embed(ImageSet(name, images))
    everything = np.arange(len(features.images))
    return Condition((name,), Trial(name, (features,), ((everything, everything),)))
