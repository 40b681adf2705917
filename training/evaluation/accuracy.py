"""Retrieval accuracy: mAP, CMC and mINP under the same-vehicle-same-camera rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.manifest import Figures

RANKS = (1, 5, 10)


@dataclass(frozen=True)
class Accuracy:
    """Retrieval accuracy in percent over a number of queries.

    Attributes:
        queries: with at least one right answer in the gallery.
        mAP: mean average precision.
        cmc: rank -> percentage of queries with a right answer at that rank or better.
        mINP: mean inverse negative penalty: right answers over the rank of the last one (Ye et al., Deep
            Learning for Person Re-identification: A Survey and Outlook, section IV.B).
    """

    queries: int
    mAP: float  # noqa: N815 - the field's name
    cmc: dict[int, float]
    mINP: float  # noqa: N815 - the field's name

    def figures(self, ranks: Sequence[int] = RANKS) -> Figures:
        """For a bundle's manifest, the CMC at some ranks.

        Raises:
            KeyError: the CMC was not computed at one of the ranks.
        """
        cmc = {rank: self.cmc[rank] for rank in ranks}
        return Figures(queries=self.queries, mAP=self.mAP, cmc=cmc, mINP=self.mINP)

    def row(self) -> dict[str, float | int]:
        """Flat, rounded to a tenth, for tables and manifests."""
        ranks = {f"R{rank}": round(value, 1) for rank, value in self.cmc.items()}
        return {
            "queries": self.queries,
            "mAP": round(self.mAP, 1),
            **ranks,
            "mINP": round(self.mINP, 1),
        }


def rank_gallery(similarities: NDArray[np.floating]) -> NDArray[np.intp]:
    """`[Q, G]` similarities -> `[Q, G]` gallery positions, best first; ties in gallery order."""
    return np.argsort(-similarities, axis=1, kind="stable")


def accuracy(
    ranking: NDArray[np.integer],
    query_vehicles: Sequence[str],
    query_cameras: Sequence[str],
    gallery_vehicles: Sequence[str],
    gallery_cameras: Sequence[str],
    ranks: Sequence[int] = RANKS,
) -> Accuracy:
    """mAP, CMC and mINP of a ranking `[Q, G]` of gallery positions, best first.

    For each query the gallery images of the same vehicle from the same camera are left out first;
    queries without any right answer are not counted.

    Raises:
        ValueError: shapes do not fit, or no query has a right answer.
    """
    if ranking.shape != (len(query_vehicles), len(gallery_vehicles)):
        raise ValueError(
            f"ranking {ranking.shape} for {len(query_vehicles)} x {len(gallery_vehicles)} images"
        )
    vehicles, cameras = np.asarray(gallery_vehicles), np.asarray(gallery_cameras)
    found = []
    for order, vehicle, camera in zip(ranking, query_vehicles, query_cameras, strict=True):
        right = vehicles[order] == vehicle
        kept = right[~(right & (cameras[order] == camera))]
        found.append(np.flatnonzero(kept) + 1)
    return accuracy_of_ranks(found, ranks)


def accuracy_of_ranks(right: Iterable[NDArray[np.integer]], ranks: Sequence[int] = RANKS) -> Accuracy:
    """mAP, CMC and mINP from where each query's right answers stand.

    Args:
        right: for each query the ranks of its right answers, from 1, ascending; queries without any are
            not counted.
        ranks: of the CMC.

    Raises:
        ValueError: no query has a right answer.
    """
    precisions, firsts, penalties = [], [], []
    for places in right:
        count = len(places)
        if count:
            precisions.append(float(np.mean(np.arange(1, count + 1) / places)))
            firsts.append(int(places[0]))
            penalties.append(count / int(places[-1]))
    if not firsts:
        raise ValueError("no query has a right answer in the gallery")
    best = np.asarray(firsts)
    cmc = {rank: 100 * float(np.mean(best <= rank)) for rank in ranks}
    return Accuracy(len(firsts), 100 * float(np.mean(precisions)), cmc, 100 * float(np.mean(penalties)))
