"""A data set's tasks measured as its authors do, each way of measuring in a row of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.accuracy import Accuracy, accuracy_of_ranks
from training.evaluation.descriptors import Described, Embedder, describe, describe_flipped
from training.evaluation.retrieval import Codes, Floats, Reorder, Side, right_ranks
from training.evaluation.variants import centring, expanded

REPEATS = 10
SEED = 0


class Way(StrEnum):
    """A way of measuring; the plain one is the first stage as it is."""

    plain = "plain"
    reranked = "reranked"
    centring = "centring"
    expansion = "expansion"
    flip = "flip"


NAMES = {
    Way.plain: "first stage",
    Way.reranked: "both stages",
    Way.centring: "first stage + camera centring",
    Way.expansion: "first stage + query expansion",
    Way.flip: "first stage + flip",
}


class Reranker(Protocol):
    """The second stage: `models.runtime.Reranker`."""

    @property
    def candidates(self) -> int:
        """How many it re-orders."""

    def distances(
        self, probes: NDArray[np.float16], candidates: NDArray[np.float16], similarities: Floats
    ) -> Floats:
        """Distances `[B, n]` of probes `[B, s, w]` to candidates `[B, n, s, w]`."""


class Models(Protocol):
    """A bundle, loaded: `models.runtime.Models`."""

    @property
    def embedder(self) -> Embedder:
        """The first stage."""

    @property
    def reranker(self) -> Reranker | None:
        """The second stage, or None."""


class Progress(Protocol):
    """Who is told how far the work is."""

    def start(self, name: str, total: int) -> Callable[[int], None]:
        """A part of the work begins; what is returned is called with the number done."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        task: its name.
        way: how it was measured.
        gallery: images in it.
        repeats: how many random galleries the accuracy is the mean of; 1 for a fixed one.
        accuracy: mean over the repeats; queries are those of one repeat.
        spread: standard deviation over the repeats of mAP and of R1; None for a fixed gallery.
    """

    task: str
    way: Way
    gallery: int
    repeats: int
    accuracy: Accuracy
    spread: dict[str, float] | None

    def row(self) -> dict[str, Any]:
        """Flat, unrounded, for JSON."""
        found = self.accuracy
        return {
            "task": self.task,
            "way": self.way.value,
            "queries": found.queries,
            "gallery": self.gallery,
            "repeats": self.repeats,
            "mAP": found.mAP,
            **{f"R{rank}": value for rank, value in found.cmc.items()},
            "mINP": found.mINP,
            "spread": self.spread,
        }


def evaluate(dataset: Dataset, models: Models, ways: list[Way], progress: Progress) -> Iterator[Row]:
    """Measure a bundle on every task of a data set.

    Every image is embedded once. Ways that do not apply give no row: `reranked` for a bundle without second
    stage, `centring` where a camera is unknown (see `inapplicable`).

    Raises:
        DatasetError: there is no task, or an image cannot be read.
        ValueError: no query of a task has a right answer.
    """
    images = images_to_measure(dataset)
    second = models.reranker is not None and Way.reranked in ways
    described = describe(
        models.embedder, images, strips=second, report=progress.start("Embedding images", len(images))
    )
    left_out = inapplicable(dataset, models)
    wanted = [way for way in Way if way in ways and way not in left_out]
    # Flip augmentation changes the descriptors in place, so it comes last.
    for way in wanted:
        if way is Way.flip:
            describe_flipped(
                models.embedder, described, report=progress.start("Embedding mirrored images", len(images))
            )
        for task in dataset.tasks:
            yield measure(task, described, way, models.reranker, progress)


def images_to_measure(dataset: Dataset) -> list[VehicleImage]:
    """The images of all tasks, each file once.

    Raises:
        DatasetError: there is no task.
    """
    if not dataset.tasks:
        raise DatasetError(f"{dataset.root}: has no queries and gallery to measure on")
    found = {image.path: image for task in reversed(dataset.tasks) for image in task.images()}
    return list(found.values())


def choose_task(dataset: Dataset, name: str | None) -> Task:
    """A task by its name, or the largest one.

    Raises:
        DatasetError: there is none, or none of that name.
    """
    if not dataset.tasks:
        raise DatasetError(f"{dataset.root}: has no queries and gallery to measure on")
    if name is None:
        return max(dataset.tasks, key=lambda task: len(task.images()))
    named = {task.name: task for task in dataset.tasks}
    if name not in named:
        raise DatasetError(f"{dataset.root}: has no task {name!r}; there are {', '.join(named)}")
    return named[name]


def inapplicable(dataset: Dataset, models: Models) -> dict[Way, str]:
    """Ways of measuring that do not apply, and why."""
    found = {}
    if models.reranker is None:
        found[Way.reranked] = "the bundle has no second stage"
    if not all(image.camera_id for task in dataset.tasks for image in task.images()):
        found[Way.centring] = "the camera of some images is unknown"
    return found


def measure(task: Task, described: Described, way: Way, reranker: Reranker | None, progress: Progress) -> Row:
    """One row: a task, measured one way.

    Raises:
        ValueError: no query has a right answer.
    """
    change = centring(described.descriptors, described.cameras) if way is Way.centring else None
    draws = list(_draws(task))
    report = progress.start(f"{task.name}: {NAMES[way]}", sum(len(queries) for queries, _ in draws))
    found, done = [], 0
    for chosen, known in draws:
        queries, gallery = described.side(chosen, change), described.side(known, change)
        asked = queries
        if way is Way.expansion:
            asked = expanded(queries, gallery)
        reorder = None
        if way is Way.reranked and reranker is not None and described.strips is not None:
            reorder = second_stage(reranker, described.strips, queries, gallery)
        ranks = right_ranks(
            asked,
            gallery,
            reorder=reorder,
            first=reranker.candidates if reranker is not None else 0,
            report=lambda count, before=done: report(before + count),  # type: ignore[misc]
        )
        found.append(accuracy_of_ranks(ranks))
        done += len(chosen)
    spread = None
    if task.gallery is None:
        spread = {
            "mAP": float(np.std([part.mAP for part in found], ddof=1)),
            "R1": float(np.std([part.cmc[1] for part in found], ddof=1)),
        }
    return Row(task.name, way, len(draws[0][1]), len(draws), _mean(found), spread)


def _draws(task: Task) -> Iterator[tuple[list[VehicleImage], list[VehicleImage]]]:
    """Queries and gallery: the given ones, or ten times one random image of each vehicle as gallery."""
    if task.gallery is not None:
        yield task.queries, task.gallery
        return
    vehicles: dict[str, list[VehicleImage]] = {}
    for image in task.queries:
        vehicles.setdefault(image.vehicle_id, []).append(image)
    source = random.Random(SEED)  # noqa: S311
    for _ in range(REPEATS):
        gallery = [source.choice(images) for images in vehicles.values()]
        drawn = {image.path for image in gallery}
        yield [image for image in task.queries if image.path not in drawn], gallery


def second_stage(reranker: Reranker, strips: NDArray[np.float16], queries: Side, gallery: Side) -> Reorder:
    """What re-orders the first candidates of a query, for `right_ranks`.

    Args:
        reranker: the second stage.
        strips: `[N, s, w]` of all images.
        queries: whose rows point into them.
        gallery: likewise.
    """

    def reorder(query: int, candidates: Codes, similarities: Floats) -> Codes:
        probe = strips[queries.rows[query]][None]
        distances = reranker.distances(probe, strips[gallery.rows[candidates]][None], similarities[None])
        return np.argsort(distances[0], kind="stable")

    return reorder


def _mean(found: list[Accuracy]) -> Accuracy:
    cmc = {rank: float(np.mean([part.cmc[rank] for part in found])) for rank in found[0].cmc}
    return Accuracy(
        queries=found[0].queries,
        mAP=float(np.mean([part.mAP for part in found])),
        cmc=cmc,
        mINP=float(np.mean([part.mINP for part in found])),
    )
