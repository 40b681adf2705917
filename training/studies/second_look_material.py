"""What the study of second stages learns from, chooses on and measures: sets of images, and their lists."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.config.data import DataConfig
from training.datasets.image import VehicleImage
from training.datasets.layouts import open_dataset
from training.datasets.synthetic_split import TEST_CAMERAS, is_test_design, split_synthetic
from training.evaluation.cameras import normalisation_of
from training.evaluation.shift.conditions import Embed, TwoCameras
from training.evaluation.shift.embedding import ImageSet
from training.features.extract import Features
from training.reranker.mining import Fold, mine
from training.studies.learning_cameras import ASIDE, FITTED, image_set
from training.studies.shift_material import limited

CANDIDATES = 10
GROUPED = 1900
"""Images of rendered vehicles to draw at least, whole groups at a time; then one is taken of each vehicle and
camera."""
UNSEEN = 150
"""Rendered vehicles of designs that are part of no training, before the training's cameras, to choose on."""


@dataclass(frozen=True)
class LearningSets:
    """Images to learn from and to choose on; of the names, those with *aside* are chosen on.

    Attributes:
        real: vehicles before two cameras, the learning cameras' images of the second.
        rendered: rendered training vehicles before training cameras, whole hard groups.
        unseen: rendered vehicles of test designs before training cameras.
    """

    real: list[ImageSet]
    rendered: ImageSet
    unseen: ImageSet

    @classmethod
    def read(cls, data: Path, synthetic: Path, split: DataConfig, limit: int | None = None) -> LearningSets:
        """Read both data sets.

        Args:
            data: vehicles before two cameras.
            synthetic: *synthetic-vehicles*.
            split: which vehicles may be learned from.
            limit: vehicles at most of each set; None for all.

        Raises:
            DatasetError: one cannot be read or is of another kind.
        """
        train, _ = split.split(open_dataset(data, split.layout))
        cameras = TwoCameras.of(limited(train, limit))
        images = open_dataset(synthetic).images()
        first = ImageSet("train first", cameras.first)
        second = ImageSet("train second", cameras.second)
        others = [image_set(number, cameras.second) for number in (*FITTED, *ASIDE)]
        grouped = _whole_groups(limited(split_synthetic(images).train, limit))
        unseen = [i for i in images if is_test_design(i.model) and i.camera_id not in TEST_CAMERAS]
        return cls(
            [first, second, *others],
            ImageSet("rendered train", _one_a_camera(grouped)),
            ImageSet("rendered dev", _one_a_camera(limited(unseen, limit or UNSEEN))),
        )


def _whole_groups(images: Sequence[VehicleImage]) -> list[VehicleImage]:
    groups: dict[str, list[VehicleImage]] = {}
    for image in images:
        if image.group:
            groups.setdefault(image.group, []).append(image)
    found: list[VehicleImage] = []
    for name in sorted(groups, key=_digest):
        found += groups[name]
        if len(found) > GROUPED:
            break
    return found


def _one_a_camera(images: Iterable[VehicleImage]) -> list[VehicleImage]:
    found: dict[tuple[str, str], VehicleImage] = {}
    for image in images:
        found.setdefault((image.vehicle_id, image.camera_id), image)
    return list(found.values())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def is_aside(image: VehicleImage) -> bool:
    """Whether a training vehicle is chosen on: a third of the real ones, a quarter of the designs."""
    if image.model:
        return int(_digest(f"d{image.model}"), 16) % 4 == 0
    return int(_digest(f"v{image.vehicle_id}"), 16) % 3 == 0


@dataclass(frozen=True, eq=False)
class Learning:
    """Features and their lists, as they are and normalised.

    Attributes:
        real: images of real vehicles to learn from, all cameras.
        rendered: images of rendered ones.
        fitted: lists to learn from.
        aside: lists to choose on, by name.
    """

    real: Features
    rendered: Features
    fitted: dict[str, list[Fold]]
    aside: dict[str, list[Fold]]


def learning(sets: LearningSets, embed: Embed) -> Learning:
    """Embed and mine. Every list is there twice: by descriptors as they are, and with cameras normalised."""
    first, second, *others = (embed(each) for each in sets.real)
    rendered, unseen = embed(sets.rendered), embed(sets.unseen)

    def learned(image: VehicleImage) -> bool:
        return not is_aside(image)

    fitted_cameras = others[: len(FITTED)]
    pairs = [(_where(first, learned), _where(other, learned)) for other in fitted_cameras]
    aside = [(_where(first, is_aside), _where(other, is_aside)) for other in others]
    own = _where(rendered, learned)
    return Learning(
        real=_joined([_where(each, learned) for each in (first, second, *fitted_cameras)]),
        rendered=own,
        fitted={"real": _folds([_joined(pair) for pair in pairs]), "rendered": _folds([own])},
        aside={
            "real, learning cameras": _folds([_joined(pair) for pair in aside]),
            "real, seen cameras": _folds([_joined([_where(first, is_aside), _where(second, is_aside)])]),
            "rendered, other designs": _folds([_where(rendered, is_aside)]),
            "rendered, unseen designs": _folds([unseen]),
        },
    )


def _where(features: Features, chosen: Callable[[VehicleImage], bool]) -> Features:
    return features.select(np.flatnonzero([chosen(image) for image in features.images]))


def _joined(parts: Sequence[Features]) -> Features:
    return Features(
        [image for part in parts for image in part.images],
        np.concatenate([part.descriptors for part in parts]),
        np.concatenate([part.strips for part in parts if part.strips is not None]),
    )


def _folds(trials: Sequence[Features]) -> list[Fold]:
    """The lists of each trial that has any, as it is and normalised."""
    found = []
    for features in trials:
        cameras = [image.camera_id for image in features.images]
        descriptors = np.asarray(features.descriptors, dtype=np.float32)
        changed = normalisation_of(descriptors, cameras, always=True).apply(descriptors.copy(), cameras)
        for each in (descriptors, changed):
            own = Features(features.images, each, features.strips)
            try:
                found.append(Fold(own, mine(own, CANDIDATES)))
            except ValueError:
                continue
    return found
