"""Accuracy across cameras: each camera's images query those of all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.manifest import BOTH_STAGES, FIRST_STAGE, AccuracyRow
from models.reranker import StripReranker
from training.evaluation.measurement import result_row
from training.evaluation.ranking import Ranking, rank_gallery
from training.evaluation.rerank import rerank
from training.evaluation.result import RetrievalResult
from training.features.extract import Features

VALIDATION = "validation vehicles"
"""The task's name in an accuracy row."""


def cross_camera(features: Features, reranker: StripReranker | None = None) -> list[Ranking]:
    """The rankings of each camera's images, by the first stage or by both.

    Where no camera is known (class retrieval), there is one ranking: each image queries all others.
    """
    if not any(features.cameras.tolist()):
        positions = rank_gallery(features.descriptors @ features.descriptors.T)
        others = np.stack([row[row != own] for own, row in enumerate(positions)])
        found = [Ranking(features, features, others)]
    else:
        found = []
        for camera in sorted(set(features.cameras.tolist())):
            queries = features.select(np.flatnonzero(features.cameras == camera))
            gallery = features.select(np.flatnonzero(features.cameras != camera))
            found.append(Ranking(queries, gallery, rank_gallery(queries.descriptors @ gallery.descriptors.T)))
    return found if reranker is None else [reranked(ranking, reranker) for ranking in found]


def reranked(ranking: Ranking, reranker: StripReranker) -> Ranking:
    """The same with the first candidates re-ordered by the second stage.

    Raises:
        ValueError: features without strips.
    """
    positions = rerank(reranker, ranking.queries, ranking.gallery, ranking.positions)
    return Ranking(ranking.queries, ranking.gallery, positions)


def pooled(rankings: Sequence[Ranking]) -> RetrievalResult:
    """The result over the queries of all rankings together."""
    return RetrievalResult.pooled([ranking.result() for ranking in rankings])


def cross_camera_row(
    name: str, found: Sequence[Ranking], before: Sequence[Ranking] | None = None
) -> AccuracyRow:
    """Accuracy over all queries, and over those of each camera, for a bundle's manifest.

    Args:
        name: of what was measured.
        found: its rankings of the validation vehicles.
        before: those of the first stage alone, where these are of both stages.
    """
    cameras = [image.camera_id for ranking in found for image in ranking.queries.images]
    return result_row(
        name,
        VALIDATION,
        "cross-camera" if any(cameras) else "class retrieval",
        [pooled(found)],
        cameras=cameras,
        before=pooled(before) if before is not None else None,
    )


def both_stages(features: Features, reranker: StripReranker) -> tuple[AccuracyRow, AccuracyRow]:
    """A bundle's own rows: its first stage, and both stages."""
    first, both = cross_camera(features), cross_camera(features, reranker)
    return cross_camera_row(FIRST_STAGE, first), cross_camera_row(BOTH_STAGES, both, first)
