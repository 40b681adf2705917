"""Accuracy between two cameras, both ways: each camera's images query the other's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.manifest import BOTH_STAGES, FIRST_STAGE, AccuracyRow
from models.reranker import CANDIDATES, StripReranker
from training.evaluation import Accuracy, accuracy, rank_gallery
from training.evaluation.rerank import rerank
from training.features.extract import Features

VALIDATION = "validation vehicles"
"""The task's name in an accuracy row."""


@dataclass(frozen=True)
class Direction:
    """One camera's images as queries, all images of the others as the gallery.

    Attributes:
        queries: features of the Q queries.
        gallery: features of the G gallery images.
        ranking: `[Q, G]` gallery positions, best first.
    """

    queries: Features
    gallery: Features
    ranking: NDArray[np.intp]

    def first_right(self) -> NDArray[np.intp]:
        """Rank of the first right answer of each query, from 1; 0 where the gallery has none."""
        right = self.gallery.vehicles[self.ranking] == self.queries.vehicles[:, None]
        return np.where(right.any(axis=1), right.argmax(axis=1) + 1, 0)


def directions(features: Features, reranker: StripReranker | None = None) -> list[Direction]:
    """The ranking for each camera as the querying one, by the first stage or by both.

    Where no camera is known (class retrieval), every image queries all others; it is itself the last of its
    ranking and, as of the same vehicle and camera, left out of the figures.
    """
    found = []
    if not any(features.cameras.tolist()):
        similarities = features.descriptors @ features.descriptors.T
        np.fill_diagonal(similarities, -np.inf)
        ranking = rank_gallery(similarities)
        if reranker is not None:
            ranking = rerank(reranker, features, features, ranking, CANDIDATES)
        return [Direction(features, features, ranking)]
    for camera in sorted(set(features.cameras.tolist())):
        queries = features.select(np.flatnonzero(features.cameras == camera))
        gallery = features.select(np.flatnonzero(features.cameras != camera))
        ranking = rank_gallery(queries.descriptors @ gallery.descriptors.T)
        if reranker is not None:
            ranking = rerank(reranker, queries, gallery, ranking, CANDIDATES)
        found.append(Direction(queries, gallery, ranking))
    return found


def pooled_accuracy(found: list[Direction]) -> Accuracy:
    """Accuracy over the queries of all directions together."""
    parts = [
        accuracy(
            d.ranking,
            d.queries.vehicles.tolist(),
            [image.camera_or_own for image in d.queries.images],
            d.gallery.vehicles.tolist(),
            [image.camera_or_own for image in d.gallery.images],
        )
        for d in found
    ]
    queries = sum(part.queries for part in parts)

    def mean(values: list[float]) -> float:
        return sum(v * part.queries for v, part in zip(values, parts, strict=True)) / queries

    cmc = {rank: mean([part.cmc[rank] for part in parts]) for rank in parts[0].cmc}
    return Accuracy(queries, mean([part.mAP for part in parts]), cmc, mean([part.mINP for part in parts]))


def accuracy_row(name: str, found: list[Direction], before: list[Direction] | None = None) -> AccuracyRow:
    """Accuracy over all directions, and of each one by the querying camera, for a bundle's manifest.

    Args:
        name: of what was measured.
        found: its rankings of the validation vehicles.
        before: those of the first stage alone, where these are of both stages.
    """
    cameras = [d.queries.images[0].camera_id for d in found]
    won, lost = won_and_lost(before, found) if before is not None else (None, None)
    return AccuracyRow(
        name=name,
        task=VALIDATION,
        protocol="cross-camera" if any(cameras) else "class retrieval",
        by_querying_camera={
            camera: pooled_accuracy([d]).figures() for camera, d in zip(cameras, found, strict=True) if camera
        },
        won=won,
        lost=lost,
        **pooled_accuracy(found).figures().model_dump(),
    )


def both_stages(features: Features, reranker: StripReranker) -> tuple[AccuracyRow, AccuracyRow]:
    """A bundle's own rows: its first stage, and both stages."""
    first, both = directions(features), directions(features, reranker)
    return accuracy_row(FIRST_STAGE, first), accuracy_row(BOTH_STAGES, both, first)


def won_and_lost(before: list[Direction], after: list[Direction]) -> tuple[int, int]:
    """Queries whose first answer became right, and those whose first answer became wrong."""
    first, second = (np.concatenate([d.first_right() for d in found]) for found in (before, after))
    return moved_first(first, second)


def moved_first(before: NDArray[np.integer], after: NDArray[np.integer]) -> tuple[int, int]:
    """How many queries' first right answers came to rank 1, and how many left it.

    Args:
        before: rank of each query's first right answer `[Q]`.
        after: the same queries' `[Q]`.
    """
    was, is_now = before == 1, after == 1
    return int((~was & is_now).sum()), int((was & ~is_now).sum())
