"""A network measured on a retrieval task: the figures, and where each query's right answers stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.evaluation.accuracy import Accuracy, accuracy_of_ranks
from training.evaluation.descriptors import Described
from training.evaluation.protocol import Way, measure
from training.evaluation.retrieval import right_ranks
from training.features import Features

LONGEST = 50
REIDENTIFICATION = (1, 5, 10)
CLASS_RETRIEVAL = (1, 2, 4, 8)


@dataclass(frozen=True)
class Assessment:
    """What was measured.

    Attributes:
        task: on which.
        features: of its images.
        gallery: images in it.
        accuracy: with the whole CMC curve where the gallery is fixed.
        ranks: for each query the ranks of its right answers, from 1; None where galleries are drawn.
    """

    task: Task
    features: Features
    gallery: int
    accuracy: Accuracy
    ranks: list[NDArray[np.intp]] | None

    @property
    def class_retrieval(self) -> bool:
        """Whether no camera is known: then it is judged by Recall@K, as metric learning does."""
        return not any(image.camera_id for image in self.task.queries)

    def figures(self) -> dict[str, float]:
        """Percentages by name: mAP, R1, R5, R10 and mINP, or Recall@1/2/4/8 and mAP."""
        found = self.accuracy
        if self.class_retrieval and self.ranks is not None:
            return {**{f"Recall@{k}": found.cmc[k] for k in CLASS_RETRIEVAL}, "mAP": found.mAP}
        return {"mAP": found.mAP, **{f"R{k}": found.cmc[k] for k in REIDENTIFICATION}, "mINP": found.mINP}

    def row(self) -> dict[str, Any]:
        """Flat, for JSON."""
        return {
            "task": self.task.name,
            "queries": self.accuracy.queries,
            "gallery": self.gallery,
            **self.figures(),
        }


class _Silent:
    def start(self, name: str, total: int) -> Callable[[int], None]:  # noqa: ARG002 - a protocol's signature
        """Nobody is told."""
        return lambda _: None


def assess(task: Task, features: Features) -> Assessment:
    """Measure features of a task's images, the plain way: cosine, same vehicle and camera left out.

    Args:
        task: to measure on.
        features: of at least all its images.

    Raises:
        ValueError: no query has a right answer.
    """
    described = Described(features.images, features.descriptors, None)
    if task.gallery is None:
        row = measure(task, described, Way.plain, None, _Silent())
        return Assessment(task, features, row.gallery, row.accuracy, None)
    ranks = list(right_ranks(described.side(task.queries), described.side(task.gallery)))
    curve = range(1, max(LONGEST, *REIDENTIFICATION) + 1)
    return Assessment(task, features, len(task.gallery), accuracy_of_ranks(ranks, curve), ranks)


@dataclass(frozen=True)
class HardQuery:
    """A query that went badly.

    Attributes:
        query: its image.
        precision: average precision, 0..1.
        best: rank of the first right answer.
        answers: the first images of the ranking.
        right: whether each of them is right.
        first_right: the best right answer.
    """

    query: VehicleImage
    precision: float
    best: int
    answers: list[VehicleImage]
    right: list[bool]
    first_right: VehicleImage


def hardest(assessment: Assessment, count: int, shown: int = 5) -> list[HardQuery]:
    """The queries with the lowest average precision, worst first, at most one for each vehicle."""
    task, ranks = assessment.task, assessment.ranks
    if ranks is None or task.gallery is None:
        return []
    precision = [float(np.mean(np.arange(1, len(r) + 1) / r)) if len(r) else float("inf") for r in ranks]
    rows = {image.path: row for row, image in enumerate(assessment.features.images)}
    descriptors = assessment.features.descriptors
    gallery = descriptors[[rows[image.path] for image in task.gallery]]
    found: list[HardQuery] = []
    for place in np.argsort(precision, kind="stable"):
        query = task.queries[place]
        if len(found) == count or not np.isfinite(precision[place]):
            break
        if any(hard.query.vehicle_id == query.vehicle_id for hard in found):
            continue
        similarities = gallery @ descriptors[rows[query.path]]
        own = np.array([image.vehicle_id == query.vehicle_id for image in task.gallery])
        left_out = own & np.array([image.camera_or_own == query.camera_or_own for image in task.gallery])
        order = np.argsort(-np.where(left_out, -np.inf, similarities), kind="stable")
        best = int(ranks[place][0])
        found.append(
            HardQuery(
                query,
                precision[place],
                best,
                [task.gallery[i] for i in order[:shown]],
                [bool(own[i]) for i in order[:shown]],
                task.gallery[order[best - 1]],
            )
        )
    return found
