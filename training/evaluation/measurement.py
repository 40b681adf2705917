"""A task measured in one way, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from models.manifest import AccuracyRow, Figures, Protocol
from training.datasets.dataset import Task
from training.evaluation.metrics import CLASS_RETRIEVAL, REIDENTIFICATION, Report, cmc, figures, shown
from training.evaluation.result import RetrievalResult, won_and_lost

MOST_CAMERAS = 20
"""A row of accuracy has the figures of each querying camera up to so many."""
RANKS: dict[Report, tuple[int, ...]] = {REIDENTIFICATION: (1, 5, 10), CLASS_RETRIEVAL: (1, 2, 4, 8)}
"""Of the CMC in a bundle's manifest."""
SPREAD = ("mAP", "R1")


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


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured.

    Attributes:
        task: on which.
        way: how.
        results: one for each gallery: a fixed one, or several that were drawn.

    Raises:
        ValueError: no query has a correct match.
    """

    task: Task
    way: Way
    results: tuple[RetrievalResult, ...]

    def __post_init__(self) -> None:
        for result in self.results:
            result.answerable()

    @property
    def report(self) -> Report:
        """How it is judged: as class retrieval where the gallery is fixed and no camera is known."""
        known = self.task.gallery is None or any(image.camera_id for image in self.task.queries)
        return REIDENTIFICATION if known else CLASS_RETRIEVAL

    @property
    def result(self) -> RetrievalResult:
        """Of the first gallery."""
        return self.results[0]

    @property
    def queries(self) -> int:
        """Those that count, of one gallery."""
        return len(self.result.answerable().queries)

    def figures(self, report: Report | None = None) -> dict[str, float]:
        """Percentages by name, the mean over the galleries; None for the report by which it is judged."""
        return figures(self.results, shown(report or self.report))

    def spread(self) -> dict[str, float] | None:
        """Standard deviation over the galleries; None for a fixed one."""
        if self.task.gallery is not None:
            return None
        each = [figures([result], SPREAD) for result in self.results]
        return {name: float(np.std([one[name] for one in each], ddof=1)) for name in SPREAD}

    def row(self) -> dict[str, Any]:
        """Flat, for JSON."""
        return {
            "task": self.task.name,
            "queries": self.queries,
            "gallery": self.result.gallery,
            **self.figures(),
        }


def accuracy_row(name: str, measured: Measurement, before: Measurement | None = None) -> AccuracyRow:
    """A measurement for a bundle's manifest.

    Args:
        name: of what was measured.
        measured: on one task.
        before: by the first stage alone, where the measurement is of both stages.
    """
    protocol: Protocol = "standard"
    if measured.task.gallery is None:
        protocol = "drawn gallery"
    elif measured.report == CLASS_RETRIEVAL:
        protocol = "class retrieval"
    fixed = measured.task.gallery is not None
    return result_row(
        name,
        measured.task.name,
        protocol,
        measured.results,
        gallery=measured.result.gallery,
        cameras=[image.camera_id for image in measured.task.queries] if fixed else None,
        before=before.result if before is not None and fixed else None,
    )


def result_row(
    name: str,
    task: str,
    protocol: Protocol,
    results: Sequence[RetrievalResult],
    *,
    gallery: int | None = None,
    cameras: Sequence[str] | None = None,
    before: RetrievalResult | None = None,
) -> AccuracyRow:
    """Results for a bundle's manifest.

    Args:
        name: of what was measured.
        task: its name.
        protocol: see `AccuracyRow`.
        results: one for each gallery that was drawn.
        gallery: images in it; None where queries searched different ones.
        cameras: of the queries; None where the figures of each camera mean nothing.
        before: of the first stage alone, where the results are of both stages.
    """
    ranks = RANKS[CLASS_RETRIEVAL if protocol == "class retrieval" else REIDENTIFICATION]
    won, lost = won_and_lost(before, results[0]) if before is not None else (None, None)
    return AccuracyRow(
        name=name,
        task=task,
        protocol=protocol,
        gallery=gallery,
        by_querying_camera=_by_camera(results[0], cameras) if cameras is not None else {},
        won=won,
        lost=lost,
        **_figures(results, ranks).model_dump(),
    )


def _figures(results: Sequence[RetrievalResult], ranks: Sequence[int]) -> Figures:
    """In the form of a manifest, the mean over the results."""
    found = figures(results, ("mAP", "mINP"))
    queries = len(results[0].answerable().queries)
    return Figures(queries=queries, mAP=found["mAP"], cmc=cmc(results, ranks), mINP=found["mINP"])


def _by_camera(result: RetrievalResult, cameras: Sequence[str]) -> dict[str, Figures]:
    """The figures of each querying camera; none for one camera alone, or too many."""
    own = np.asarray(cameras)
    names = np.unique(own[result.first > 0]).tolist()
    if not 1 < len(names) <= MOST_CAMERAS:
        return {}
    return {name: _figures([result.where(own == name)], RANKS[REIDENTIFICATION]) for name in names}
