"""How often pairs of two vehicles are very similar, where too few pairs were seen to count it.

The share of a sphere that lies within an angle falls as a power of 1 - s^2, s being the angle's cosine. So of
-log(1 - s^2), the *depth* of a similarity, what exceeds a level that a tenth of the pairs reach is taken as
exponential (peaks over a threshold, Pickands 1975, with shape 0). Pairs share vehicles: intervals come from
drawing whole vehicles with replacement, a pair counting as often as both of its vehicles together were drawn
(the pigeonhole bootstrap, Owen 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST, MOST, SHARE = 50, 4000, 0.1
"""Pairs in the tail: a share of all, within these bounds."""
BELOW = 0.01
"""Of false matches that are expected among all pairs, the fewest for which the tail is followed so far."""
ALMOST = 1 - 1e-9
DRAWS = 1000
SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tail:
    """The most similar pairs of two vehicles.

    Attributes:
        level: that all of them reach.
        similarities: `[K]`.
        first: `[K]` vehicle of each pair, as a number below V.
        second: `[K]` the other one.
        seen: `[V, C]` images of each vehicle from each camera; the number of all pairs follows from it.
    """

    level: float
    similarities: Floats
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    seen: NDArray[np.int64]

    def threshold(self, rate: float, weights: Floats | None = None) -> float:
        """The similarity that a share of `rate` of the pairs reaches, at most 1.

        Args:
            rate: below the share that reaches the level.
            weights: `[V]` of the vehicles; None for one each.
        """
        reached, excess = self._fitted(weights)
        if not reached:
            return self.level
        wanted = float(depth(self.level)) + excess * max(0.0, float(np.log(reached / rate)))
        return similarity_at(wanted) if wanted > 0 else self.level

    def rate(self, similarity: float, weights: Floats | None = None) -> float:
        """The share of the pairs that reaches a similarity not below the level."""
        reached, excess = self._fitted(weights)
        further = float(depth(similarity) - depth(self.level))
        return reached * float(np.exp(-further / excess)) if reached else 0.0

    def intervals(
        self, similarity: float, rate: float, draws: int = DRAWS, seed: int = SEED
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """95 % for the rate at a similarity, and for the threshold of a rate; low and high each."""
        source = np.random.default_rng(seed)
        count = len(self.seen)
        rates, thresholds = np.empty(draws), np.empty(draws)
        for draw in range(draws):
            weights = np.bincount(source.integers(count, size=count), minlength=count).astype(np.float64)
            rates[draw] = self.rate(similarity, weights)
            thresholds[draw] = self.threshold(rate, weights)
        low, high = np.percentile(rates, [2.5, 97.5])
        least, most = np.percentile(thresholds, [2.5, 97.5])
        return (float(low), float(min(1.0, high))), (float(least), float(most))

    def _fitted(self, weights: Floats | None) -> tuple[float, float]:
        """The share of pairs at the level or above, and their mean excess."""
        each = np.ones(len(self.seen)) if weights is None else weights
        of_pairs = each[self.first] * each[self.second]
        total = of_pairs.sum()
        if not total:
            return 0.0, 1.0
        further = depth(self.similarities) - depth(self.level)
        excess = float((of_pairs * further).sum() / total)
        return float(total / pair_count(self.seen, each)), max(excess, 1e-9)


def depth(similarity: Floats | float) -> Floats:
    """-log(1 - s^2), negative for negative similarities."""
    s = np.minimum(similarity, ALMOST)
    return np.asarray(-np.sign(s) * np.log1p(-np.square(s)))


def similarity_at(wanted: float) -> float:
    """The similarity of a depth, 0 or more."""
    return float(np.sqrt(-np.expm1(-max(0.0, wanted))))


def tail_size(pairs: int) -> int:
    """How many of the most similar pairs the tail is fitted to."""
    return min(max(LEAST, min(MOST, round(SHARE * pairs))), pairs)


def pair_count(seen: NDArray[np.int64], weights: Floats) -> float:
    """Pairs of two vehicles from two cameras, each as often as its vehicles' weights say.

    Args:
        seen: `[V, C]` images of each vehicle from each camera.
        weights: `[V]`.
    """
    counts = weights[:, None] * seen
    of_vehicles = counts.sum(axis=1)
    all_pairs = of_vehicles.sum() ** 2 - (of_vehicles**2).sum()
    of_one_camera = (counts.sum(axis=0) ** 2).sum() - (counts**2).sum()
    return float(all_pairs - of_one_camera) / 2
