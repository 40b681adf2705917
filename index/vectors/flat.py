"""The flat kinds: a probe is compared with every vector, of float32 or float16, and exactly."""

from __future__ import annotations

import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.vectors.copies import Copies, similarities
from index.vectors.device import CPU, Device, GpuCopy
from index.vectors.engine import Section
from index.vectors.faisslib import THREADS, faiss
from index.vectors.kind import Kind
from index.vectors.ranking import NOTHING, Ranking
from index.vectors.selection import selection

FLOAT16_ERROR: Final = 2.0**-11
"""That similarities are off by at most where one of two unit vectors is rounded to float16."""
GPU_SPARE: Final = 128
"""Fetched beyond k on a GPU, where rounding makes more ties."""
PIECE: Final = 4096
"""Vectors that are copied to a GPU at a time; 128 MiB of float32 at d = 8192.

FAISS moves all that is there to make room for a piece: smaller ones would take longer.
"""
SPARE: Final = 16
"""Fetched beyond k, so that a tie at the k-th place is usually seen in one pass."""
# From so many probes on, a matrix product that reads the descriptors once for all of them is faster than a
# scan for each; FAISS's own threshold for it is tuned to short vectors. (20,000 of 8192 numbers, two cores:
# 100 ms in place of 190 for 8 probes, 77 of 94 for 4, but 68 of 47 for 2.)
PRODUCT_FROM: Final = 4
SCANS, PRODUCTS = int(faiss.cvar.distance_compute_blas_threshold), 1


class Flat:
    """Vectors of `dim` numbers, as they are or rounded to float16; similarities are of what it holds.

    On a GPU a copy in float16 finds what is near, and the vectors here have the last word.
    """

    def __init__(self, dim: int, *, float16: bool = False, device: Device = CPU) -> None:
        self._dim = dim
        self._device = device
        self._copy: GpuCopy | None = None
        self._copying = threading.Lock()
        self._float16 = float16
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
        """Of vectors, and of ids both ways; of the copy on a GPU too."""
        on_gpu = 0 if self._device.copied is None else 2 * self._dim
        return self.count * (self._dim * (2 if self._float16 else 4) + 8 + 40 + on_gpu)

    def ids(self) -> NDArray[np.int64]:
        """Ids [n] that it holds, ascending."""
        return np.sort(faiss.vector_to_array(self._index.id_map))

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors [n, d] under ids [n]."""
        self._index.add_with_ids(vectors, ids)
        if self._copy is not None:
            self._copy.add(ids, vectors)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove ids [n]. Raises RuntimeError where it does not hold one."""
        self._copies.forget(ids)
        removed = self._index.remove_ids(faiss.IDSelectorBatch(ids))
        if removed != len(ids):
            raise RuntimeError(f"{len(ids)} ids were to be removed from the index, it held {removed}")
        if self._copy is not None:
            self._copy.remove(ids)
            if self._copy.is_outdated:
                self._copy = None

    def clear(self) -> None:
        """Remove all."""
        metric = faiss.METRIC_INNER_PRODUCT
        self._index: Any = faiss.IndexIDMap2(
            faiss.IndexScalarQuantizer(self._dim, faiss.ScalarQuantizer.QT_fp16, metric)
            if self._float16
            else faiss.IndexFlatIP(self._dim)
        )
        self._copies = Copies(self.vectors)
        self._copy = None

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
        if among is None and self._device.copied is not None:
            rankings = self._on_gpu(probes, k)
            if rankings is not None:
                return rankings
        fetch = min(k + SPARE, total)
        selected = selection(among)
        # FAISS shares a flat search out by probes; waking threads for one of them only costs time.
        faiss.omp_set_num_threads(min(len(probes), THREADS))
        # As global as the threads; a search that runs meanwhile is only slower or faster by it.
        faiss.cvar.distance_compute_blas_threshold = PRODUCTS if len(probes) >= PRODUCT_FROM else SCANS
        scores, ids = self._index.search(probes, fetch, params=selected)
        # FAISS fills up with -1 where it has found fewer.
        found = int(np.count_nonzero(ids[0] >= 0))
        k = min(k, found)
        if k == 0:
            return [NOTHING] * len(probes)
        scores, ids = scores[:, :found], ids[:, :found]
        is_all = fetch == total or found < fetch
        return self._ranked(probes, scores, ids, k, self._tolerance, selected, is_all=is_all)

    def _on_gpu(self, probes: NDArray[np.float32], k: int) -> list[Ranking] | None:
        """As `search` of all, by the copy; None where it finds too few."""
        with self._copying:
            if self._copy is None:
                self._copy = self._copied()
            copy = self._copy
        fetch = min(k + GPU_SPARE, self.count)
        found = copy.search(probes, fetch)
        if found is None or np.any(found[1] < 0):
            return None
        scores, ids = found
        tolerance = self._tolerance + 2 * FLOAT16_ERROR
        return self._ranked(probes, scores, ids, k, tolerance, None, is_all=fetch == self.count)

    def _copied(self) -> GpuCopy:
        """A copy on the GPU; no more than a piece of it is in the host's memory at a time."""
        copy = GpuCopy(self._device, faiss.IndexFlatIP(self._dim), np.empty(0, np.int64))
        ids = faiss.vector_to_array(self._index.id_map)
        for start in range(0, len(ids), PIECE):
            piece = ids[start : start + PIECE]
            copy.add(piece, self.vectors(piece))
        return copy

    def _ranked(
        self,
        probes: NDArray[np.float32],
        scores: NDArray[np.float32],
        ids: NDArray[np.int64],
        k: int,
        tolerance: float,
        selected: Any,
        *,
        is_all: bool,
    ) -> list[Ranking]:
        """The k best for each probe among what was found by scores that are off by the tolerance at most."""
        limits = scores[:, k - 1] - tolerance
        # Settled: nothing beyond the last one fetched can reach the k-th place, or nothing is left.
        settled = (scores[:, -1] < limits) | is_all
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
