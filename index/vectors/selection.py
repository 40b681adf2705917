"""Which ids a search by FAISS may find, for each kind of index that takes a selector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.vectors.faisslib import faiss

BITMAP_BYTES = 1 << 20
"""That a selection may take however few ids it has."""
BITMAP_SHARE = 32
"""Bytes for each id of a selection beyond, about what a hash set takes."""


def selection(among: NDArray[np.int64] | None) -> Any:
    """FAISS's parameters for a search of these ids `[n]` alone, ascending, n at least 1; None for one of all.

    A bitmap costs a bit for each id up to the largest, and to look an id up next to nothing; a hash set is
    made where ids are few and far between.
    """
    if among is None:
        return None
    if among[-1] // 8 > max(BITMAP_BYTES, BITMAP_SHARE * len(among)):
        return faiss.SearchParameters(sel=faiss.IDSelectorBatch(among))
    bits = np.zeros(int(among[-1]) + 1, np.bool_)
    bits[among] = True
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little")))
