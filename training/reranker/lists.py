"""Which lists a re-ranker learns from, and which of them say when it is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.config.reranker import CheckpointConfig, ListsConfig, RerankerExperimentConfig
from training.datasets.dataset import Task
from training.datasets.folds import vehicle_folds
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.requirements import require_lists
from training.datasets.split import split_by_identity, whole_vehicles
from training.features.extract import Features
from training.reranker.embedders import Frozen, Parts
from training.reranker.mining import Fold, Lists, mine

BLOCK = 1024


@dataclass(frozen=True)
class Roles:
    """Which vehicles do what; no vehicle does two things.

    Attributes:
        learned: images whose lists are learned from.
        checked: images of training vehicles whose lists choose the checkpoint; may be none.
        folds: images of the folds that `learned` falls into; one for all without folds.
    """

    learned: list[VehicleImage]
    checked: list[VehicleImage]
    folds: list[list[VehicleImage]]

    @classmethod
    def of(
        cls,
        train: list[VehicleImage],
        tasks: Sequence[Task],
        lists: ListsConfig,
        checkpoint: CheckpointConfig,
    ) -> Roles:
        """Give the training images their roles.

        Raises:
            DatasetError: a vehicle is to learn from and to measure on, or there are too few of them.
        """
        measured = {image.vehicle_id for task in tasks for image in task.images()}
        both = sorted(measured & {image.vehicle_id for image in train})
        if both:
            raise DatasetError(
                f"{len(both)} vehicles are to learn from and to measure on, {both[0]} is the first; "
                "`lka-reid data check` lists them"
            )
        checked: list[VehicleImage] = []
        if checkpoint.by == "vehicles":
            split = split_by_identity(train, checkpoint.vehicles, lists.seed)
            train, checked = split.train, split.validation
        if lists.mining != "out-of-fold":
            return cls(train, checked, [train])
        folds = vehicle_folds(train, lists.folds, lists.seed)
        return cls(train, checked, [[i for i in train if i.vehicle_id in fold] for fold in folds])

    @classmethod
    def required(
        cls,
        data: Path,
        train: list[VehicleImage],
        tasks: Sequence[Task],
        config: RerankerExperimentConfig,
    ) -> Roles:
        """The roles of what a re-ranker's configuration takes of the training images, seen to be enough.

        Raises:
            DatasetError: see `of` and `require_lists`.
        """
        learned = whole_vehicles(train, config.lists.images, config.lists.seed)
        roles = cls.of(learned, tasks, config.lists, config.checkpoint)
        require_lists(data, roles.folds, tasks, config.lists.candidates, config.training.batch)
        return roles

    def without(self, number: int) -> list[VehicleImage]:
        """The images that a fold's embedder is trained on: those of the other folds."""
        return [image for other, fold in enumerate(self.folds) if other != number for image in fold]


@dataclass
class LearningLists:
    """The lists of one training.

    Attributes:
        folds: to learn from: the views of each fold, the unchanged images first.
        validation: to choose the checkpoint by.
    """

    folds: list[list[Fold]] = field(default_factory=list)
    validation: list[Fold] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Features of a strip.

        Raises:
            ValueError: the embedder gives no strips.
        """
        strips = self.folds[0][0].features.strips
        if strips is None:
            raise ValueError("the embedder gives no strips")
        return int(strips.shape[2])

    def all(self) -> list[Fold]:
        """All folds to learn from, one after the other."""
        return [view for fold in self.folds for view in fold]

    def facts(self) -> dict[str, Any]:
        """What a report says of them."""
        validation = _facts(self.validation) if self.validation else None
        return {"folds": [_facts(fold) for fold in self.folds], "validation": validation}


def _facts(views: Sequence[Fold]) -> dict[str, Any]:
    correct = np.concatenate([view.lists.correct for view in views])
    return {
        "vehicles": len({image.vehicle_id for view in views for image in view.features.images}),
        "lists": len(correct),
        "length": correct.shape[1],
        "first_match_correct": round(100 * float(correct[:, 0].mean()), 2),
    }


def make_lists(
    parts: Parts, roles: Roles, measured: Features | None, lists: ListsConfig, batch: int
) -> LearningLists:
    """Train what embedders are missing, embed, and mine.

    Args:
        parts: embedders and features.
        roles: of the vehicles.
        measured: features of what is measured, where the checkpoint is chosen by it.
        lists: how to mine.
        batch: lists a step, which every fold must have.

    Raises:
        DatasetError: too few lists hold correct and wrong matches.
        Exception: see `Parts`.
    """
    made = LearningLists()

    def fold(features: Features, found: Lists) -> Fold:
        return Fold(features, found, parts.process.device)

    def mined(features: Features, name: str) -> Fold:
        return fold(features, _mine(features, lists.candidates, name))

    def lists_of(frozen: Frozen, images: list[VehicleImage], name: str) -> list[Fold]:
        views = parts.features(name, frozen, images, views=lists.views)
        if lists.mining != "augmented":
            return [mined(view, name) for view in views]
        return [fold(*_mine_copies(views[0], copy, lists.candidates, name)) for copy in views[1:]]

    if lists.mining == "out-of-fold":
        for number, images in enumerate(roles.folds):
            frozen = parts.fold_embedder(number, roles.without(number))
            made.folds.append(lists_of(frozen, images, f"fold-{number}"))
            if roles.checked:
                name = f"checked-by-fold-{number}"
                made.validation += [mined(view, name) for view in parts.features(name, frozen, roles.checked)]
    else:
        made.folds.append(lists_of(parts.embedder, roles.learned, "training"))
        if roles.checked:
            made.validation += lists_of(parts.embedder, roles.checked, "checked")
    if measured is not None:
        made.validation.append(mined(measured, "what is measured"))
    for view in made.all():
        if len(view.lists) < batch:
            raise DatasetError(
                f"a fold has {len(view.lists)} lists with correct and wrong matches, a step takes {batch}; "
                "lower training.batch, or lists.folds"
            )
    return made


def _mine(features: Features, length: int, name: str) -> Lists:
    try:
        return mine(features, length)
    except ValueError as error:
        raise DatasetError(_too_long(name, error)) from None


def _too_long(name: str, error: object) -> str:
    return f"{name}: {error}; lower lists.candidates, or give it more vehicles"


def _mine_copies(originals: Features, copies: Features, length: int, name: str) -> tuple[Features, Lists]:
    """For every changed copy the first originals of other cameras, where these hold correct and wrong ones.

    Args:
        originals: of N images.
        copies: of the same N images, changed.
        length: of a list.
        name: for messages.

    Returns:
        The features of both, originals first, and the lists in them.

    Raises:
        DatasetError: no list holds both.
    """
    if originals.strips is None or copies.strips is None:
        raise ValueError("the embedder gives no strips")
    count = len(originals.images)
    vehicles = originals.vehicles
    cameras = np.array([image.camera_or_own for image in originals.images])
    probes, candidates, similarities = [], [], []
    for start in range(0, count, BLOCK):
        block = np.asarray(copies.descriptors[start : start + BLOCK]) @ np.asarray(originals.descriptors).T
        for i, row in enumerate(block, start=start):
            others = np.flatnonzero(cameras != cameras[i])
            first = others[np.argsort(-row[others], kind="stable")][:length]
            correct = vehicles[first] == vehicles[i]
            if len(first) == length and correct.any() and not correct.all():
                probes.append(count + i)
                candidates.append(first)
                similarities.append(row[first])
    if not probes:
        raise DatasetError(
            _too_long(name, f"no changed copy has a correct and a wrong match among its first {length}")
        )
    p, c = np.array(probes), np.stack(candidates)
    both = Features(
        [*originals.images, *copies.images],
        np.concatenate([originals.descriptors, copies.descriptors]),
        np.concatenate([originals.strips, copies.strips]),
    )
    return both, Lists(p, c, np.stack(similarities), vehicles[c] == vehicles[p - count][:, None])
