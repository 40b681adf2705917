"""What a search of vectors finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ids [n] and cosine similarities [n] for one probe, best first, ties by ascending id."""

    ids: NDArray[np.int64]
    similarities: NDArray[np.float64]

    @classmethod
    def best(cls, ids: NDArray[np.int64], similarities: NDArray[np.float64], k: int) -> Ranking:
        """The k best of these."""
        order = np.lexsort((ids, -similarities))[:k]
        return cls(ids[order], similarities[order])


NOTHING: Final = Ranking(np.empty(0, np.int64), np.empty(0, np.float64))
