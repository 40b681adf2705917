"""The flat kinds: a probe is compared with every vector, of float32 or float16, and exactly."""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.copies import Copies, similarities
from index.engine import Section
from index.faisslib import faiss
from index.kind import Kind
from index.ranking import NOTHING, Ranking
from index.selection import selection

SPARE: Final = 16
"""Fetched beyond k, so that a tie at the k-th place is usually seen in one pass."""
# From so many probes on, a matrix product that reads the descriptors once for all of them is faster than a
# scan for each; FAISS's own threshold for it is tuned to short vectors. (20,000 of 8192 numbers, two cores:
# 100 ms in place of 190 for 8 probes, 77 of 94 for 4, but 68 of 47 for 2.)
PRODUCT_FROM: Final = 4
SCANS, PRODUCTS = int(faiss.cvar.distance_compute_blas_threshold), 1


class Flat:
    """Vectors of `dim` numbers, as they are or rounded to float16; similarities are of what it holds."""

    def __init__(self, dim: int, *, float16: bool = False) -> None:
        self._dim = dim
        self._float16 = float16
        self._threads = os.cpu_count() or 1
        # Safely above what FAISS's float32 sums of d products of unit vectors are off by.
        self._tolerance = float(4 * np.finfo(np.float32).eps * np.sqrt(dim))
        self.clear()

    @property
    def kind(self) -> Kind:
        """Which of the two it is."""
        return "flat16" if self._float16 else "flat"

    @property
    def count(self) -> int:
        """How many vectors it holds."""
        return int(self._index.ntotal)

    @property
    def memory_bytes(self) -> int:
        """Of vectors, and of ids both ways."""
        return self.count * (self._dim * (2 if self._float16 else 4) + 8 + 40)

    def ids(self) -> NDArray[np.int64]:
        """Ids [n] that it holds, ascending."""
        return np.sort(faiss.vector_to_array(self._index.id_map))

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors [n, d] under ids [n]."""
        self._index.add_with_ids(vectors, ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove ids [n]. Raises RuntimeError where it does not hold one."""
        self._copies.forget(ids)
        removed = self._index.remove_ids(faiss.IDSelectorBatch(ids))
        if removed != len(ids):
            raise RuntimeError(f"{len(ids)} ids were to be removed from the index, it held {removed}")

    def clear(self) -> None:
        """Remove all."""
        metric = faiss.METRIC_INNER_PRODUCT
        self._index: Any = faiss.IndexIDMap2(
            faiss.IndexScalarQuantizer(self._dim, faiss.ScalarQuantizer.QT_fp16, metric)
            if self._float16
            else faiss.IndexFlatIP(self._dim)
        )
        self._copies = Copies(self.vectors)

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors [n, d] under ids [n]. Raises RuntimeError where it does not hold one."""
        return np.asarray(self._index.reconstruct_batch(ids))

    def search(self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None) -> list[Ranking]:
        """The k best (fewer where there are fewer) for each probe [B, d], exactly.

        Ties go to the lower id, at the k-th place too, and similarities do not depend on what else was asked
        in the batch: FAISS preselects by float32 sums, a float64 sum has the last word.
        """
        total = self.count
        k = min(k, total if among is None else min(total, len(among)))
        if k == 0:
            return [NOTHING] * len(probes)
        fetch = min(k + SPARE, total)
        selected = selection(among)
        # FAISS shares a flat search out by probes; waking threads for one of them only costs time.
        faiss.omp_set_num_threads(min(len(probes), self._threads))
        # As global as the threads; a search that runs meanwhile is only slower or faster by it.
        faiss.cvar.distance_compute_blas_threshold = PRODUCTS if len(probes) >= PRODUCT_FROM else SCANS
        scores, ids = self._index.search(probes, fetch, params=selected)
        # FAISS fills up with -1 where it has found fewer.
        found = int(np.count_nonzero(ids[0] >= 0))
        k = min(k, found)
        if k == 0:
            return [NOTHING] * len(probes)
        scores, ids = scores[:, :found], ids[:, :found]
        limits = scores[:, k - 1] - self._tolerance
        # Settled: nothing beyond the last one fetched can reach the k-th place, or nothing is left.
        settled = (scores[:, -1] < limits) | (fetch == total) | (found < fetch)
        rankings = []
        for row, probe in enumerate(probes):
            if settled[row]:
                near = ids[row][scores[row] >= limits[row]]
                rankings.append(Ranking.best(near, similarities(self.vectors(near), probe), k))
            else:
                rankings.append(self._among_ties(probe, float(limits[row]), k, selected))
        return rankings

    def sections(self) -> tuple[dict[str, Any], list[Section]]:
        """Nothing: stored descriptors are all of it."""
        return {}, []

    def _among_ties(self, probe: NDArray[np.float32], limit: float, k: int, selected: Any) -> Ranking:
        """The best k for a probe [d] with more near ties than a search fetches: one more pass finds all."""
        # A product's sums differ from a scan's by less than the tolerance, which is on both sides then.
        _, _, near = self._index.range_search(probe[np.newaxis], limit - self._tolerance, params=selected)
        return Ranking.best(near, self._copies.similarities(near, probe), k)
