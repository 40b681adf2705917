"""Where correct matches rank, in bounded memory: no `[Q, G]` matrix, and no sorted copy of the gallery's ids.

Descriptors stay as they are stored (float32 or float16, in memory or memory-mapped). A chunk of queries meets
one block of the gallery after the other; of a query's row of similarities only the ranks of the correct
matches are wanted, and those follow from one sort of the row. With 40,000 queries, 100,000 gallery images
and 8,192 dimensions, `memory_needed` comes to 2.6 GiB with descriptors in float16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.ranking import reorder_first
from training.evaluation.result import Indices, RetrievalResult

Floats = NDArray[np.float32]
Change = Callable[[Floats, Indices], Floats]
Distances = Callable[[int, Indices, Floats], Floats]
"""Of a query (its position), its first kept gallery positions `[n]` and their similarities `[n]`: the second
stage's distances `[n]`."""

MIB = 2**20
WORKSPACE = 512 * MIB
STORED = 2560 * MIB


@dataclass(frozen=True)
class Side:
    """Queries or gallery: rows of a store of descriptors, and what is known of them.

    Attributes:
        store: `[M, d]`, L2-normalised, float32 or float16.
        rows: `[N]`, which of the store's rows these images are.
        vehicles: `[N]`.
        cameras: `[N]`; no two images of unknown camera may share one.
        change: applied to float32 descriptors `[n, d]` of the rows `[n]` as they are read, or None.
    """

    store: NDArray[np.floating]
    rows: Indices
    vehicles: NDArray[np.str_]
    cameras: NDArray[np.str_]
    change: Change | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def block(self, start: int, stop: int) -> Floats:
        """Descriptors of a stretch of the images, float32 `[n, d]`."""
        rows = self.rows[start:stop]
        found = np.asarray(self.store[rows], dtype=np.float32)
        return found if self.change is None else self.change(found, rows)


@dataclass(frozen=True)
class Plan:
    """How much is worked on at a time.

    Attributes:
        queries: in a chunk.
        block: gallery images turned to float32 at a time.
        workspace: bytes that the work takes besides the descriptors.
    """

    queries: int
    block: int
    workspace: int


def plan(queries: int, gallery: int, dim: int, workspace: int = WORKSPACE) -> Plan:
    """Chunks whose buffers stay in `workspace` bytes, where that allows one query at a time at all.

    A block of the gallery may take a quarter (three times its float32 size: as stored, in float32, changed);
    a chunk of queries takes its descriptors (three times as well), its similarities, and its part of a
    product with a block.
    """
    block = max(1, min(gallery, workspace // 4 // (12 * dim)))
    # For one row: a sorted copy and two masks.
    fixed = 12 * block * dim + 6 * gallery
    each = 4 * (gallery + block + 3 * dim)
    chunk = max(1, min(queries, (workspace - fixed) // each))
    return Plan(chunk, block, fixed + chunk * each)


def memory_needed(queries: int, gallery: int, dim: int, itemsize: int, workspace: int = WORKSPACE) -> int:
    """Bytes of descriptors and work together.

    Args:
        queries: number of them.
        gallery: number of images.
        dim: of a descriptor.
        itemsize: 4 where descriptors are stored in float32, 2 in float16.
        workspace: see `plan`.
    """
    return (queries + gallery) * dim * itemsize + plan(queries, gallery, dim, workspace).workspace


def storage(images: int, dim: int, limit: int = STORED) -> type[np.float32] | type[np.float16]:
    """How to store descriptors: float32 where they fit in `limit` bytes, else float16.

    Rounding a descriptor of 8,192 dimensions to float16 moves a cosine by about 1e-5.
    """
    return np.float32 if images * dim * 4 <= limit else np.float16


def similarity_chunks(
    queries: Side, gallery: Side, workspace: int = WORKSPACE
) -> Iterator[tuple[int, Floats]]:
    """Cosine similarities, some queries at a time: the first one's position and `[n, G]`.

    The array is used again for the next chunk; it may be written to.

    Raises:
        ValueError: a descriptor is not finite.
    """
    size = plan(len(queries), len(gallery), queries.store.shape[1], workspace)
    buffer = np.empty((size.queries, len(gallery)), dtype=np.float32)
    for start in range(0, len(queries), size.queries):
        probes = queries.block(start, start + size.queries)
        found = buffer[: len(probes)]
        for first in range(0, len(gallery), size.block):
            block = gallery.block(first, first + size.block)
            product = probes @ block.T
            # A sum is finite only where all of them are, and needs no mask of the size of the product.
            if not np.isfinite(product.sum(dtype=np.float64)):
                raise ValueError("descriptors are not finite")
            found[:, first : first + size.block] = product
            del block, product
        yield start, found


def retrieve(
    queries: Side,
    gallery: Side,
    *,
    distances: Distances | None = None,
    candidates: int = 10,
    workspace: int = WORKSPACE,
    report: Callable[[int], None] = lambda _: None,
) -> RetrievalResult:
    """Search the gallery with every query.

    Gallery images of the same vehicle from the same camera are left out; equal similarities rank in gallery
    order.

    Args:
        queries: Q of them.
        gallery: G images.
        distances: of a second stage, or None.
        candidates: how many of the first it re-orders.
        workspace: bytes to work in besides the descriptors.
        report: called with the number of queries done.

    Raises:
        ValueError: a descriptor is not finite.
    """
    ranks = tuple(_correct_ranks(queries, gallery, distances, candidates, workspace, report))
    return RetrievalResult(queries.rows.astype(np.str_), queries.vehicles, len(gallery), ranks)


def _correct_ranks(
    queries: Side,
    gallery: Side,
    distances: Distances | None,
    candidates: int,
    workspace: int,
    report: Callable[[int], None],
) -> Iterator[Indices]:
    """For each query the ranks of its correct matches, from 1, ascending; empty where it has none."""
    positions = _by_vehicle(gallery.vehicles)
    nothing = np.empty(0, dtype=np.intp)
    for start, chunk in similarity_chunks(queries, gallery, workspace):
        for offset, row in enumerate(chunk):
            query = start + offset
            own = positions.get(str(queries.vehicles[query]), nothing)
            same_camera = gallery.cameras[own] == queries.cameras[query]
            correct = own[~same_camera]
            if not len(correct):
                yield nothing
                continue
            row[own[same_camera]] = -np.inf
            ordered = np.sort(row)
            ranks = _ranks(row, ordered, correct)
            # Where no candidate is correct, re-ordering changes no rank.
            if distances is not None and ranks.min() <= candidates:
                first = _first(row, ordered, candidates)
                both = reorder_first(first, distances(query, first, row[first]))
                moved = {int(position): rank for rank, position in enumerate(both, start=1)}
                ranks = np.array([moved.get(int(p), int(r)) for p, r in zip(correct, ranks, strict=True)])
            yield np.sort(ranks)
        report(start + len(chunk))


def _by_vehicle(vehicles: NDArray[np.str_]) -> dict[str, Indices]:
    names, codes = np.unique(vehicles, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
    return {str(name): part for name, part in zip(names, np.split(order, ends), strict=True)}


def _ranks(row: Floats, ordered: Floats, positions: Indices) -> Indices:
    """Rank of some positions in a row, given the row in ascending order."""
    values = row[positions]
    above = np.searchsorted(ordered, values, side="right")
    ranks = len(row) - above + 1
    tied = above - np.searchsorted(ordered, values, side="left") > 1
    for place in np.flatnonzero(tied):
        ranks[place] += np.count_nonzero(row[: positions[place]] == values[place])
    return ranks


def _first(row: Floats, ordered: Floats, count: int) -> Indices:
    """The first positions of a row, best first, without those that are left out."""
    least = ordered[-min(count, len(ordered))]
    found = np.flatnonzero((row >= least) & (row > -np.inf))
    return found[np.argsort(-row[found], kind="stable")][:count]
