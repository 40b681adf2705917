"""A data set's tasks measured as its authors do, each way of measuring by itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.protocols import Reranker
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.requirements import require_measurable
from training.evaluation.descriptors import Described, Embedder, describe, describe_flipped
from training.evaluation.measurement import NAMES, Measurement, Way
from training.evaluation.result import Indices
from training.evaluation.retrieval import Distances, Floats, Side, retrieve
from training.evaluation.variants import centring, expanded

REPEATS = 10
SEED = 0


class Models(Protocol):
    """A bundle, loaded: `models.runtime.Models`."""

    @property
    def embedder(self) -> Embedder:
        """The first stage."""

    @property
    def reranker(self) -> Reranker | None:
        """The second stage, or None."""


class Progress(Protocol):
    """Receives how far the work is."""

    def start(self, name: str, total: int) -> Callable[[int], None]:
        """A part of the work begins; what is returned is called with the number done."""


def evaluate(dataset: Dataset, models: Models, ways: list[Way], progress: Progress) -> Iterator[Measurement]:
    """Measure a bundle on every task of a data set.

    Every image is embedded once. Ways that do not apply give no measurement: `reranked` for a bundle without
    second stage, `centring` where a camera is unknown (see `inapplicable`).

    Raises:
        DatasetError: there is no task, no query of one has a match, or an image cannot be read.
    """
    described = describe_tasks(dataset, models, progress, strips=Way.reranked in ways)
    yield from measure_tasks(dataset, models, described, ways, progress)


def describe_tasks(dataset: Dataset, models: Models, progress: Progress, *, strips: bool) -> Described:
    """The images of all tasks, embedded once.

    Raises:
        DatasetError: there is no task, no query of one has a match, or an image cannot be read.
    """
    require_measurable(dataset)
    images = images_to_measure(dataset)
    return describe(
        models.embedder,
        images,
        strips=strips and models.reranker is not None,
        report=progress.start("Embedding images", len(images)),
    )


def measure_tasks(
    dataset: Dataset, models: Models, described: Described, ways: list[Way], progress: Progress
) -> Iterator[Measurement]:
    """Every task of a data set measured in each way that applies.

    Args:
        dataset: with tasks.
        models: the bundle, loaded.
        described: the tasks' images; the way `flip`, which comes last, changes them in place.
        ways: wanted.
        progress: receives how far the work is.
    """
    left_out = inapplicable(dataset, models)
    for way in (way for way in Way if way in ways and way not in left_out):
        if way is Way.flip:
            describe_flipped(
                models.embedder,
                described,
                report=progress.start("Embedding mirrored images", len(described.images)),
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
    if models.embedder.input.flip:
        found[Way.flip] = "the bundle does it by itself"
    if models.reranker is None:
        found[Way.reranked] = "the bundle has no second stage"
    if not all(image.camera_id for task in dataset.tasks for image in task.images()):
        found[Way.centring] = "the camera of some images is unknown"
    return found


def measure(
    task: Task, described: Described, way: Way, reranker: Reranker | None, progress: Progress
) -> Measurement:
    """One task, measured one way.

    Raises:
        ValueError: no query has a correct match.
    """
    change = centring(described.descriptors, described.cameras) if way is Way.centring else None
    draws = list(_draws(task))
    report = progress.start(f"{task.name}: {NAMES[way]}", sum(len(queries) for queries, _ in draws))
    found, done = [], 0
    for chosen, known in draws:
        queries, gallery = described.side(chosen, change), described.side(known, change)
        probes = expanded(queries, gallery) if way is Way.expansion else queries
        distances = None
        if way is Way.reranked and reranker is not None and described.strips is not None:
            distances = second_stage(reranker, described.strips, queries, gallery)
        result = retrieve(
            probes,
            gallery,
            distances=distances,
            candidates=reranker.candidates if reranker is not None else 0,
            report=lambda count, before=done: report(before + count),  # type: ignore[misc]
        )
        found.append(result)
        done += len(chosen)
    return Measurement(task, way, tuple(found))


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


def second_stage(reranker: Reranker, strips: NDArray[np.float16], queries: Side, gallery: Side) -> Distances:
    """The distances of a query's first candidates, for `retrieve`.

    Args:
        reranker: the second stage.
        strips: `[N, s, w]` of all images.
        queries: whose rows point into them.
        gallery: likewise.
    """

    def distances(query: int, candidates: Indices, similarities: Floats) -> Floats:
        probe = strips[queries.rows[query]][None]
        found = reranker.distances(probe, strips[gallery.rows[candidates]][None], similarities[None])
        return np.asarray(found[0])

    return distances
