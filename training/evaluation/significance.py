"""Statistical significance of a difference between two rankings of the same queries."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
SEED = 0
BLOCK = 256


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test that a query is as likely to be won as lost.

    Queries count as independent of each other.

    Raises:
        ValueError: a negative count.
    """
    if won < 0 or lost < 0:
        raise ValueError(f"{won} won and {lost} lost queries")
    total = won + lost
    tail = sum(comb(total, k) for k in range(min(won, lost) + 1))
    # Whole numbers of any size: their quotient does not overflow.
    return min(1.0, float(2 * tail / 2**total))


@dataclass(frozen=True)
class Interval:
    """A mean difference and where 95 % of its bootstrap draws lie."""

    mean: float
    low: float
    high: float


def bootstrap(
    differences: NDArray[np.floating], groups: NDArray[np.str_], draws: int = DRAWS, seed: int = SEED
) -> Interval:
    """Paired bootstrap of a mean difference over groups of queries (percentile interval).

    Whole groups are drawn with replacement, so queries of one vehicle, also under several seeds, stay
    together: their results depend on each other.

    Args:
        differences: `[Q]`, of each query.
        groups: `[Q]`, its vehicle.
        draws: number of them.
        seed: of the draws.

    Raises:
        ValueError: no query.
    """
    if not len(differences):
        raise ValueError("no query to draw from")
    names, codes = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(codes, differences), np.bincount(codes)
    source = np.random.default_rng(seed)
    means = np.empty(draws)
    for start in range(0, draws, BLOCK):
        count = min(BLOCK, draws - start)
        chosen = source.integers(len(names), size=(count, len(names)))
        means[start : start + count] = sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(np.mean(differences)), float(low), float(high))
