"""The queries whose first match is wrong, those with the lowest average precision first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.evaluation.metrics import of_queries
from training.evaluation.result import RetrievalResult
from training.features.extract import Features


@dataclass(frozen=True)
class HardQuery:
    """A query whose first match is wrong.

    Attributes:
        query: its image.
        precision: average precision, 0..1.
        best: rank of the first correct match.
        matches: the first images of the ranking.
        correct: whether each of them is of the query's vehicle.
        similarities: of each of them to the query.
        first_correct: the correct match that ranks best.
        similarity: its similarity to the query.
    """

    query: VehicleImage
    precision: float
    best: int
    matches: list[VehicleImage]
    correct: list[bool]
    similarities: list[float]
    first_correct: VehicleImage
    similarity: float


def hardest(
    task: Task, result: RetrievalResult, features: Features, count: int, shown: int = 5
) -> list[HardQuery]:
    """The queries whose first match is wrong, worst average precision first, at most one for each vehicle.

    Args:
        task: with a fixed gallery; of another there are none.
        result: of it, by the first stage.
        features: of at least all its images.
        count: how many.
        shown: matches of each.
    """
    if task.gallery is None:
        return []
    places = np.flatnonzero(result.first > 1)
    if not len(places):
        return []
    precision = of_queries(result.where(result.first > 1), "mAP")
    rows = {image.path: row for row, image in enumerate(features.images)}
    gallery = features.descriptors[[rows[image.path] for image in task.gallery]]
    found: list[HardQuery] = []
    for number in np.argsort(precision, kind="stable"):
        query = task.queries[places[number]]
        if len(found) == count:
            break
        if any(hard.query.vehicle_id == query.vehicle_id for hard in found):
            continue
        similarities = gallery @ features.descriptors[rows[query.path]]
        own = np.array([image.vehicle_id == query.vehicle_id for image in task.gallery])
        left_out = own & np.array([image.camera_or_own == query.camera_or_own for image in task.gallery])
        order = np.argsort(-np.where(left_out, -np.inf, similarities), kind="stable")
        best = int(result.first[places[number]])
        found.append(
            HardQuery(
                query,
                float(precision[number]),
                best,
                [task.gallery[i] for i in order[:shown]],
                [bool(own[i]) for i in order[:shown]],
                [float(similarities[i]) for i in order[:shown]],
                task.gallery[order[best - 1]],
                float(similarities[order[best - 1]]),
            )
        )
    return found
