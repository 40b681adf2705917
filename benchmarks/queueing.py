"""The bare model behind a perfect queue: the lower bound for a service around this model.

Arrivals wait for the model alone: no HTTP, no decoding, no search. When the model is free it takes all that
wait, up to its largest batch. What a service takes longer than this is its own; the rest follows from the
model's speed and from the moments of the arrivals.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def perfect_queue(
    moments: Sequence[float], durations: Mapping[int, Sequence[float]], seed: int = 0
) -> NDArray[np.float64]:
    """Milliseconds from each arrival to the end of its batch.

    Args:
        moments: of the arrivals in s, ascending.
        durations: batch size, from 1 without a gap -> ms of measured forward passes; each pass
            draws one of them, so that the machine's own variation is part of it.
        seed: of these draws.

    Raises:
        ValueError: a batch size without a duration.
    """
    largest = max(durations, default=0)
    if sorted(durations) != list(range(1, largest + 1)) or not all(durations.values()):
        raise ValueError(f"durations of batches of {sorted(durations)}; each size from 1 on needs some")
    source = random.Random(seed)  # noqa: S311
    arrivals = [1000 * moment for moment in moments]
    spent: list[float] = []
    free = 0.0
    while len(spent) < len(arrivals):
        first = len(spent)
        begun = max(free, arrivals[first])
        waiting = sum(arrival <= begun for arrival in arrivals[first : first + largest])
        free = begun + source.choice(durations[waiting])
        spent += [free - arrival for arrival in arrivals[first : first + waiting]]
    return np.array(spent)
