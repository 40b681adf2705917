"""Retrieval accuracy: mAP and CMC under the same-vehicle-same-camera rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Accuracy:
    """Retrieval accuracy in percent over a number of queries.

    Attributes:
        queries: with at least one right answer in the gallery.
        mAP: mean average precision.
        cmc: rank -> percentage of queries with a right answer at that rank or better.
    """

    queries: int
    mAP: float  # noqa: N815 - the field's name
    cmc: dict[int, float]

    def row(self) -> dict[str, float | int]:
        """Flat, rounded to a tenth, for tables and manifests."""
        ranks = {f"R{rank}": round(value, 1) for rank, value in self.cmc.items()}
        return {"queries": self.queries, "mAP": round(self.mAP, 1), **ranks}


def rank_gallery(similarities: NDArray[np.floating]) -> NDArray[np.intp]:
    """`[Q, G]` similarities -> `[Q, G]` gallery positions, best first; ties in gallery order."""
    return np.argsort(-similarities, axis=1, kind="stable")


def accuracy(
    ranking: NDArray[np.integer],
    query_vehicles: Sequence[str],
    query_cameras: Sequence[str],
    gallery_vehicles: Sequence[str],
    gallery_cameras: Sequence[str],
    ranks: Sequence[int] = (1, 5, 10),
) -> Accuracy:
    """mAP and CMC of a ranking `[Q, G]` of gallery positions, best first.

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
    precisions, firsts = [], []
    for order, vehicle, camera in zip(ranking, query_vehicles, query_cameras, strict=True):
        right = vehicles[order] == vehicle
        kept = right[~(right & (cameras[order] == camera))]
        hits = np.flatnonzero(kept)
        if not len(hits):
            continue
        precisions.append(float(np.mean(np.arange(1, len(hits) + 1) / (hits + 1))))
        firsts.append(int(hits[0]) + 1)
    if not firsts:
        raise ValueError("no query has a right answer in the gallery")
    found = np.asarray(firsts)
    cmc = {rank: 100 * float(np.mean(found <= rank)) for rank in ranks}
    return Accuracy(len(firsts), 100 * float(np.mean(precisions)), cmc)
