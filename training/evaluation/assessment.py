"""Networks measured on a retrieval task: the figures, and where each query's right answers stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.manifest import AccuracyRow, Figures, Protocol
from models.reranker import CANDIDATES, StripReranker
from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.evaluation.accuracy import Accuracy, accuracy_of_ranks
from training.evaluation.descriptors import Described
from training.evaluation.protocol import Way, measure, second_stage
from training.evaluation.retrieval import Floats, right_ranks
from training.features.extract import Features

LONGEST = 50
MOST_CAMERAS = 20
"""A row of accuracy has the figures of each querying camera up to so many."""
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


class SecondStage:
    """A re-ranker in torch as `training.evaluation` asks one, on the device that it is on."""

    candidates = CANDIDATES

    def __init__(self, model: StripReranker) -> None:
        self._model = model.eval()
        self._device = next(model.parameters()).device

    def distances(
        self, probes: NDArray[np.float16], candidates: NDArray[np.float16], similarities: Floats
    ) -> Floats:
        """Distances `[B, n]` of probes `[B, s, w]` to candidates `[B, n, s, w]`."""
        given = (
            torch.from_numpy(np.asarray(each, dtype=np.float32)).to(self._device)
            for each in (probes, candidates, similarities)
        )
        with torch.inference_mode():
            found: Floats = self._model(*given).cpu().numpy()
        return found


def assess(task: Task, features: Features, reranker: StripReranker | None = None) -> Assessment:
    """Measure features of a task's images: cosine, same vehicle and camera left out.

    Args:
        task: to measure on.
        features: of at least all its images.
        reranker: the second stage over the first candidates; None for the first stage alone.

    Raises:
        ValueError: no query has a right answer, or features to be re-ranked have no strips.
    """
    stage = SecondStage(reranker) if reranker is not None else None
    strips = None
    if stage is not None:
        if features.strips is None:
            raise ValueError("re-ranking needs strips")
        strips = features.strips.astype(np.float16, copy=False)
    described = Described(features.images, features.descriptors, strips)
    if task.gallery is None:
        row = measure(task, described, Way.plain if stage is None else Way.reranked, stage, _Silent())
        return Assessment(task, features, row.gallery, row.accuracy, None)
    queries, gallery = described.side(task.queries), described.side(task.gallery)
    reorder = (
        second_stage(stage, strips, queries, gallery) if stage is not None and strips is not None else None
    )
    ranks = list(right_ranks(queries, gallery, reorder=reorder, first=CANDIDATES))
    curve = range(1, max(LONGEST, *REIDENTIFICATION) + 1)
    return Assessment(task, features, len(task.gallery), accuracy_of_ranks(ranks, curve), ranks)


def moved(before: Assessment, after: Assessment) -> dict[str, int]:
    """Queries whose first answer became right ("won"), and those whose first answer became wrong ("lost").

    Nothing where galleries are drawn at random.
    """
    if before.ranks is None or after.ranks is None:
        return {}
    pairs = [
        (int(a[0]) == 1, int(b[0]) == 1) for a, b in zip(before.ranks, after.ranks, strict=True) if len(a)
    ]
    return {"won": sum(b and not a for a, b in pairs), "lost": sum(a and not b for a, b in pairs)}


def accuracy_row(name: str, assessment: Assessment, before: Assessment | None = None) -> AccuracyRow:
    """An assessment for a bundle's manifest.

    Args:
        name: of what was measured.
        assessment: of one task.
        before: of the first stage alone, where the assessment is of both stages.
    """
    task, found = assessment.task, assessment.accuracy
    protocol: Protocol = "standard"
    if task.gallery is None:
        protocol = "drawn gallery"
    elif assessment.class_retrieval:
        protocol = "class retrieval"
    ranks = CLASS_RETRIEVAL if protocol == "class retrieval" else REIDENTIFICATION
    change = moved(before, assessment) if before is not None else {}
    return AccuracyRow(
        name=name,
        task=task.name,
        protocol=protocol,
        gallery=assessment.gallery,
        by_querying_camera=_by_camera(assessment),
        **found.figures(ranks).model_dump(),
        won=change.get("won"),
        lost=change.get("lost"),
    )


def _by_camera(assessment: Assessment) -> dict[str, Figures]:
    """The figures of each querying camera; none where galleries are drawn, or of one camera, or too many."""
    if assessment.ranks is None:
        return {}
    ranks: dict[str, list[NDArray[np.intp]]] = defaultdict(list)
    for image, places in zip(assessment.task.queries, assessment.ranks, strict=True):
        if len(places):
            ranks[image.camera_id].append(places)
    if not 1 < len(ranks) <= MOST_CAMERAS:
        return {}
    return {camera: accuracy_of_ranks(ranks[camera]).figures() for camera in sorted(ranks)}


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
