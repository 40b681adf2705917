"""How long a stage takes, estimated from the buckets of its histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """Times of a stage, in s, since the start of the service.

    Attributes:
        stage: its name.
        count: of times.
        mean: exactly.
        median: estimated, as `quantile` does.
        p95: estimated; 95 % are no longer.
    """

    stage: str
    count: int
    mean: float
    median: float
    p95: float

    @classmethod
    def of(cls, stage: str, total: float, buckets: Sequence[tuple[float, int]]) -> Latency:
        """From the sum of all times and their cumulative buckets, at least one of which is not empty."""
        count = buckets[-1][1]
        # Nothing takes longer than all together.
        median, p95 = (min(total, quantile(share, buckets)) for share in (0.5, 0.95))
        return cls(stage, count, total / count, median, p95)


def quantile(share: float, buckets: Sequence[tuple[float, int]]) -> float:
    """The value that this share of times does not exceed, by linear interpolation in its bucket.

    As Prometheus' `histogram_quantile` does, whose value above the last finite bound is that bound.

    Args:
        share: 0 to 1.
        buckets: upper bounds, ascending, the last one infinite, each with the times up to it; not all zero.
    """
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0
    for bound, count in buckets:
        if count >= wanted and count > below:
            return low if math.isinf(bound) else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low
