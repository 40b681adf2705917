"""The vector index: descriptors by record id in memory, searched exactly by FAISS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.changes import Described
from index.copies import Copies, similarities
from index.normalisation import RAW, Normalisation
from index.selection import selection
from index.sharedlock import SharedLock

# FAISS's OpenMP threads would spin for milliseconds after each search, on cores that the next embedding
# needs; they read this once, when they are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import faiss

BLOCK = 256  # descriptors in a piece of the file; 8 MiB at d = 8192, for which a change may wait
SPARE = 16  # fetched beyond k, so that a tie at the k-th place is usually seen in one pass

# From so many probes on, a matrix product that reads the descriptors once for all of them is faster than a
# scan for each; FAISS's own threshold for it is tuned to short vectors. (20,000 of 8192 numbers, two cores:
# 100 ms in place of 190 for 8 probes, 77 of 94 for 4, but 68 of 47 for 2.)
PRODUCT_FROM = 4
SCANS, PRODUCTS = int(faiss.cvar.distance_compute_blas_threshold), 1


class VectorsUnusableError(Exception):
    """A change failed halfway: the index must be filled anew before it is used."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ids [n] and cosine similarities [n] for one probe, best first, ties by ascending id."""

    ids: NDArray[np.int64]
    similarities: NDArray[np.float64]


_NOTHING = Ranking(np.empty(0, np.int64), np.empty(0, np.float64))


def row_size(descriptor_dim: int) -> int:
    """Bytes of a descriptor and its id in a file."""
    return 4 * descriptor_dim + 8


class Vectors:
    """A flat inner-product index under our ids, of descriptors that one `normalisation` has made.

    `sequence` is the change that it stands at, None while it stands at none. Searches go together
    and from any thread; changes must come from one thread at a time.
    """

    def __init__(self, descriptor_dim: int, normalisation: Normalisation = RAW) -> None:
        self.normalisation = normalisation
        self._dim = descriptor_dim
        self._lock = SharedLock()
        self._index = _new_index(descriptor_dim)
        self._copies = self._new_copies()
        self._sequence: int | None = 0
        self._threads = os.cpu_count() or 1
        # Safely above what FAISS's float32 sums of d products of unit vectors are off by.
        self._tolerance = float(4 * np.finfo(np.float32).eps * np.sqrt(descriptor_dim))

    @classmethod
    def read(
        cls,
        fill: Callable[[memoryview], None],
        *,
        descriptor_dim: int,
        count: int,
        sequence: int,
        normalisation: Normalisation = RAW,
    ) -> Vectors:
        """The index that `blocks` gave in pieces: `count` descriptors and their ids.

        `fill` fills a view of bytes with those that come next, and may raise.
        """
        vectors = cls(descriptor_dim, normalisation)
        flat: Any = faiss.downcast_index(vectors._index.index)
        # In place: a copy would take as much memory again.
        flat.codes.resize(count * flat.code_size)
        flat.ntotal = vectors._index.ntotal = count
        ids = np.empty(count, np.int64)
        if count:
            fill(faiss.rev_swig_ptr(flat.get_xb(), count * descriptor_dim).data.cast("B"))
            fill(ids.data.cast("B"))
        faiss.copy_array_to_vector(ids, vectors._index.id_map)
        vectors._index.construct_rev_map()
        vectors._sequence = sequence
        return vectors

    def blocks(self, ids: NDArray[np.int64]) -> Iterator[memoryview]:
        """A file of those of the ids [n] that it still holds: descriptors, in pieces, then their ids.

        Searches and changes go on between two pieces; an id that is removed meanwhile may be left out.
        Raises VectorsUnusableError.
        """
        given = []
        for start in range(0, len(ids), BLOCK):
            held, descriptors = self._held(ids[start : start + BLOCK])
            given.append(held)
            yield descriptors.data
        yield np.concatenate([np.empty(0, np.int64), *given]).data

    @property
    def sequence(self) -> int | None:
        """The change that the index stands at."""
        return self._sequence

    @property
    def count(self) -> int:
        """How many descriptors it holds."""
        return int(self._index.ntotal)

    def ids(self) -> NDArray[np.int64]:
        """Ids [n] that it holds, ascending."""
        return np.sort(faiss.vector_to_array(self._index.id_map))

    def add_described(self, piece: Described) -> None:
        """Add what the database holds, normalised; more must follow."""
        self.add(piece.ids, self.normalisation.apply(piece.descriptors, piece.cameras), sequence=None)

    def add(self, ids: NDArray[np.int64], descriptors: NDArray[np.float32], *, sequence: int | None) -> None:
        """Add normalised descriptors [n, d] under ids [n]; None as sequence where more must follow."""
        with self._changing(sequence):
            self._index.add_with_ids(descriptors, ids)

    def remove(self, ids: NDArray[np.int64], *, sequence: int | None) -> None:
        """Remove ids [n], each of which must be there; None as sequence where more must follow."""
        with self._changing(sequence):
            self._copies.forget(ids)
            removed = self._index.remove_ids(faiss.IDSelectorBatch(ids))
            if removed != len(ids):
                raise RuntimeError(f"{len(ids)} ids were to be removed from the index, it held {removed}")

    def clear(self) -> None:
        """Empty it; it stands at no change until `reach`."""
        with self._changing(None):
            self._index = _new_index(self._dim)
            self._copies = self._new_copies()

    def reach(self, sequence: int) -> None:
        """Say that what was added and removed amounts to this change."""
        with self._changing(sequence):
            pass

    def search(
        self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None
    ) -> list[Ranking]:
        """The best k (fewer where it holds fewer) for each of the normalised probes [B, d].

        Of the ids `among` [n], ascending, where they are given: the others are passed over during the search,
        which takes the less time the fewer they are. Those that it does not hold are none.

        Ties go to the lower id, at the k-th place too, and similarities do not depend on what else
        was asked in the batch: FAISS preselects by float32 sums, a float64 sum has the last word.
        Raises VectorsUnusableError.
        """
        probes = np.ascontiguousarray(probes)
        with self._lock.shared():
            if self._sequence is None:
                raise VectorsUnusableError
            total = self.count
            k = min(k, total)
            if among is not None:
                k = min(k, len(among))
            if k == 0 or len(probes) == 0:
                return [_NOTHING] * len(probes)
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
                return [_NOTHING] * len(probes)
            scores, ids = scores[:, :found], ids[:, :found]
            limits = scores[:, k - 1] - self._tolerance
            # Settled: nothing beyond the last one fetched can reach the k-th place, or nothing is left.
            settled = (scores[:, -1] < limits) | (fetch == total) | (found < fetch)
            rankings = []
            for row, probe in enumerate(probes):
                if settled[row]:
                    near = ids[row][scores[row] >= limits[row]]
                    rows = self._index.reconstruct_batch(near)
                    rankings.append(_best(near, similarities(rows, probe), k))
                else:
                    rankings.append(self._among_ties(probe, float(limits[row]), k, selected))
            return rankings

    def _held(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        with self._lock.shared():
            if self._sequence is None:
                raise VectorsUnusableError
            try:
                return ids, self._index.reconstruct_batch(ids)
            except RuntimeError:  # one of them is not there
                ids = ids[np.isin(ids, faiss.vector_to_array(self._index.id_map))]
                return ids, self._index.reconstruct_batch(ids)

    def _among_ties(self, probe: NDArray[np.float32], limit: float, k: int, selected: Any) -> Ranking:
        """The best k for a probe [d] with more near ties than a search fetches: one more pass finds all."""
        # A product's sums differ from a scan's by less than the tolerance, which is on both sides then.
        _, _, near = self._index.range_search(probe[np.newaxis], limit - self._tolerance, params=selected)
        return _best(near, self._copies.similarities(near, probe), k)

    def _new_copies(self) -> Copies:
        return Copies(lambda ids: self._index.reconstruct_batch(ids))

    @contextmanager
    def _changing(self, sequence: int | None) -> Iterator[None]:
        with self._lock.exclusive():
            self._sequence = None
            yield
            self._sequence = sequence


def _best(ids: NDArray[np.int64], values: NDArray[np.float64], k: int) -> Ranking:
    order = np.lexsort((ids, -values))[:k]
    return Ranking(ids[order], values[order])


def _new_index(descriptor_dim: int) -> faiss.IndexIDMap2:
    return faiss.IndexIDMap2(faiss.IndexFlatIP(descriptor_dim))
