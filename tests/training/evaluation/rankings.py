"""Rankings of made-up images, and their figures written out by loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.image import VehicleImage
from training.evaluation.ranking import Ranking, rank_gallery
from training.features.extract import Features


def of_images(name: str, vehicles: Sequence[str], cameras: Sequence[str]) -> Features:
    """Images of these vehicles from these cameras; their descriptors mean nothing."""
    pairs = enumerate(zip(vehicles, cameras, strict=True))
    images = [VehicleImage(Path(f"{name}{i}.jpg"), vehicle, camera) for i, (vehicle, camera) in pairs]
    return Features(images, np.zeros((len(images), 1), dtype=np.float32), None)


def ranked(
    similarities: NDArray[np.floating],
    qv: Sequence[str],
    qc: Sequence[str],
    gv: Sequence[str],
    gc: Sequence[str],
) -> Ranking:
    """Queries and gallery of these vehicles and cameras, ranked by these similarities."""
    return Ranking(of_images("q", qv, qc), of_images("g", gv, gc), rank_gallery(similarities))


def brute_force(
    similarities: np.ndarray, qv: list[str], qc: list[str], gv: list[str], gc: list[str]
) -> tuple[float, dict[int, float], float]:
    """mAP, CMC and mINP by loops, written without a look at the code under test."""
    precisions, penalties = [], []
    within: dict[int, list[bool]] = {1: [], 5: [], 10: []}
    for q in range(len(qv)):
        order = sorted(range(len(gv)), key=lambda g: -similarities[q][g])
        order = [g for g in order if not (gv[g] == qv[q] and gc[g] == qc[q])]
        hits, found = 0, []
        for place, g in enumerate(order, start=1):
            if gv[g] == qv[q]:
                hits += 1
                found.append(hits / place)
        if found:
            precisions.append(sum(found) / len(found))
            places = [place for place, g in enumerate(order, start=1) if gv[g] == qv[q]]
            penalties.append(len(places) / places[-1])
            for rank, list_ in within.items():
                list_.append(any(gv[g] == qv[q] for g in order[:rank]))
    cmc = {rank: 100 * sum(list_) / len(list_) for rank, list_ in within.items()}
    return 100 * sum(precisions) / len(precisions), cmc, 100 * sum(penalties) / len(penalties)
