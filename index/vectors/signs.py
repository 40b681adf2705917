"""The signs of coded numbers: a first pass over many codes, which reads an eighth of them.

RaBitQ (Gao, Long: RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate
Nearest Neighbor Search, SIGMOD 2024, section 3), as FAISS has it: a bit for each number, whether it is above
the mean, and two numbers that make an estimate of the inner product of it. The first rows by that estimate
are compared by their codes. Signs are made of codes, so that no file holds them.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.vectors.faisslib import faiss

PROBE_BITS: Final = 4
"""Of each number of a probe, while it is compared with signs."""
KEPT: Final = 1 / 1_000
"""Share of the searched rows whose codes are compared, or more:"""
KEPT_A_ROW: Final = 10
"""so many for each row that is wanted at least."""
WORTH: Final = 4
"""Times as many rows as are kept from which on the first pass takes less time than it saves."""
PIECE: Final = 8_192
"""Rows whose signs are made at a time; 32 MiB of float32 at 1,024 numbers."""


class Signs:
    """The signs of an index of 8-bit codes.

    Args:
        codes: FAISS's index of them; what is added to it has signs after the next `follow`.
        sample: numbers [n, width] of some rows, for their mean.
    """

    def __init__(self, codes: Any, sample: NDArray[np.float32]) -> None:
        self._codes = codes
        self._index = faiss.IndexRaBitQ(codes.d, faiss.METRIC_INNER_PRODUCT)
        self._index.qb = PROBE_BITS
        self._index.train(np.ascontiguousarray(sample))
        self.follow()

    @property
    def memory_bytes(self) -> int:
        """What they take."""
        return int(self._index.ntotal * self._index.code_size)

    def follow(self) -> None:
        """Make the signs of rows that were added to the codes."""
        for start in range(self._index.ntotal, self._codes.ntotal, PIECE):
            self._index.add(self._codes.reconstruct_n(start, min(PIECE, self._codes.ntotal - start)))

    def clear(self) -> None:
        """Remove all; the mean stays."""
        self._index.reset()

    def nearest(
        self, short: NDArray[np.float32], wanted: int, searched: int, selector: Any
    ) -> NDArray[np.int64] | None:
        """Rows [B, wanted] for short vectors [B, width], by the codes of those that their signs keep.

        None where so few rows are `searched`, which the selector lets through, that codes alone are quicker.
        """
        times = max(KEPT_A_ROW, math.ceil(KEPT * searched / wanted))
        if searched < WORTH * times * wanted:
            return None
        inner = None if selector is None else faiss.SearchParameters(sel=selector)
        parameters = faiss.IndexRefineSearchParameters(k_factor=times, base_index_params=inner)
        both = faiss.IndexRefine(self._index, self._codes)
        return np.asarray(both.search(short, wanted, params=parameters)[1])
