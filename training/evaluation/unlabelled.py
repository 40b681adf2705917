"""A threshold from images of which no vehicle is known.

Nearly all pairs of images from two cameras are of two vehicles: with V vehicles about one in V is not. Those
few are the most similar ones, so the tail of the similarities is fitted below them, between two levels; what
lies above the upper one counts as cut off there (an exponential of the depth, see `training.evaluation.tail`,
with type-I censoring). It is then followed to the wanted rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.calibration import CalibrationError
from training.evaluation.pairs import count_pairs
from training.evaluation.retrieval import Side
from training.evaluation.tail import depth, similarity_at

LOWER, UPPER = 0.8, 0.97
"""Shares of the pairs below the levels."""
LEAST = 1000
"""Pairs, fewer than which say nothing."""


@dataclass(frozen=True)
class Guess:
    """A threshold without labels.

    Attributes:
        similarity: from which on a pair is called a match.
        rate: wanted share of pairs of two vehicles that match.
        pairs: of two cameras.
        share: of them that match at the threshold, those of one vehicle among them.
    """

    similarity: float
    rate: float
    pairs: int
    share: float


def threshold_without_labels(
    images: Side, rate: float, report: Callable[[int], None] = lambda _: None
) -> Guess:
    """The threshold at which a share `rate` of the pairs of two vehicles would match.

    Args:
        images: N of them; vehicles are not looked at.
        rate: wanted, below 1 - `UPPER`.
        report: called with the number of images done, of N.

    Raises:
        CalibrationError: too few pairs of images from two cameras.
        ValueError: the rate is too high.
    """
    if not 0 < rate < 1 - UPPER:
        raise ValueError(f"the rate is {rate}; without labels it must be between 0 and {1 - UPPER:.2f}")
    nameless = Side(
        images.store, images.rows, np.arange(len(images)).astype(str), images.cameras, images.change
    )
    curves = count_pairs(nameless, report=report)
    counts, total = curves.different, int(curves.different.sum())
    if total < LEAST:
        raise CalibrationError(
            f"{total:,} pairs of images from two cameras are too few for a threshold without labels: at "
            f"least {LEAST:,} are needed; give more images, of two cameras or more"
        )
    places = np.flatnonzero(counts)
    values, weights = curves.edges[places], counts[places]
    below = np.cumsum(weights) / total
    lower, upper = (float(values[np.searchsorted(below, share)]) for share in (LOWER, UPPER))
    between = (values >= lower) & (values < upper)
    above = weights[values >= upper].sum()
    span = float(depth(upper) - depth(lower))
    excess = _excess(values[between], weights[between], lower) + float(above) * span
    scale = excess / max(1, int(weights[between].sum()))
    reached = float(weights[values >= lower].sum()) / total
    similarity = similarity_at(float(depth(lower)) + scale * float(np.log(reached / rate)))
    return Guess(similarity, rate, total, float(weights[values >= similarity].sum()) / total)


def _excess(values: NDArray[np.float64], weights: NDArray[np.int64], lower: float) -> float:
    return float(((depth(values) - depth(lower)) * weights).sum())
