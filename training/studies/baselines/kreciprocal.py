"""k-reciprocal re-ranking in bounded memory: no image's code is ever held for all N columns at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from training.studies.baselines.baseline import Codes, RankOne, one_by_one, ordered, without_own
from training.studies.baselines.collection import (
    WORKSPACE,
    Collection,
    Floats,
    Neighbours,
    chunks,
    neighbours,
    squared_distances,
    with_probe,
)

Pairs = Callable[[Codes, Codes], Floats]
"""Rows, ascending, and columns -> squared distances of those pairs of images."""


@dataclass(frozen=True)
class KReciprocal:
    """Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding (CVPR 2017).

    Distances are squared and divided by the largest of their row, as in the authors' code. The final distance
    is (1 - weight) Jaccard + weight original.

    Attributes:
        k1: length of the lists in which neighbours are reciprocal.
        k2: neighbours (itself among them) whose codes are averaged; 1 for none.
        weight: lambda, of the original distance; 1 leaves the first stage as it is.
        transductive: all probes and the gallery are encoded together, as published. Otherwise each probe is
            encoded with the gallery alone, as in a service.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3
    transductive: bool = False

    offline = "similarities and neighbours of the gallery's images among each other"

    def __post_init__(self) -> None:
        if not 1 <= self.k2 <= self.k1 + 1:
            raise ValueError(f"k2 = {self.k2} is not between 1 and k1 + 1 = {self.k1 + 1}")

    @property
    def name(self) -> str:
        """With the mode."""
        return f"k-reciprocal, {'all probes at once' if self.transductive else 'single probe'}"

    @property
    def settings(self) -> dict[str, float]:
        """By name."""
        return {"k1": self.k1, "k2": self.k2, "lambda": self.weight}

    def grid(self) -> Sequence[KReciprocal]:
        """The settings to choose from."""
        lengths = ((3, 1), (5, 1), (5, 2), (10, 1), (10, 3), (20, 1), (20, 6), (80, 16))
        return [
            replace(self, k1=k1, k2=k2, weight=w) for (k1, k2), w in product(lengths, (0.1, 0.3, 0.6, 0.9))
        ]

    def prepared(self, gallery: Collection) -> RankOne:
        """Ranks for one probe at a time."""
        known = neighbours(gallery, self.k1 + 1)
        total = len(gallery)

        def rank_one(probe: Floats) -> Codes:
            similarities = gallery.descriptors @ probe
            distances = squared_distances(similarities)
            graph = with_probe(known, distances, self.k1 + 1)

            def pairs(rows: Codes, columns: Codes) -> Floats:
                to_probe, of_probe = columns == total, rows == total
                found = np.zeros(len(rows), dtype=np.float32)
                inner = ~(to_probe | of_probe)
                found[inner] = squared_distances(gallery.similarities(rows[inner], columns[inner]))
                found[to_probe & ~of_probe] = distances[rows[to_probe & ~of_probe]]
                found[of_probe & ~to_probe] = distances[columns[of_probe & ~to_probe]]
                found[rows == columns] = 0
                return found

            codes = encode(graph, self.k1, pairs)
            jaccard = jaccard_distances(codes, graph, self.k2, total)[:-1]
            return ordered(-self._mixed(jaccard, distances / _not_zero(graph.farthest[-1])), similarities)

        return rank_one

    def rank(self, queries: Floats, gallery: Collection) -> Codes:
        """`[Q, d]` -> `[Q, G]`."""
        if not self.transductive:
            return one_by_one(self.prepared(gallery), queries)
        union = Collection(np.concatenate([queries, gallery.descriptors]))
        count = len(queries)
        return np.stack([order[order >= count] - count for order in self._orders(union, range(count))])

    def rank_others(self, images: Collection) -> Codes:
        """`[N, N - 1]`, each against all others."""
        orders = self._orders(images, range(len(images)))
        return np.stack([without_own(order, own) for own, order in enumerate(orders)])

    def _orders(self, images: Collection, probes: Sequence[int]) -> list[Codes]:
        """Of all N images for each of these, encoded together."""
        graph = neighbours(images, self.k1 + 1)

        def pairs(rows: Codes, columns: Codes) -> Floats:
            found = squared_distances(images.similarities(rows, columns))
            found[rows == columns] = 0
            return found

        codes = encode(graph, self.k1, pairs)
        found = []
        for probe in probes:
            similarities = images.rows(probe, probe + 1)[0]
            distances = squared_distances(similarities) / _not_zero(graph.farthest[probe])
            jaccard = jaccard_distances(codes, graph, self.k2, probe)
            found.append(ordered(-self._mixed(jaccard, distances), similarities))
        return found

    def _mixed(self, jaccard: Floats, original: Floats) -> Floats:
        mixed: Floats = np.float32(1 - self.weight) * jaccard + np.float32(self.weight) * original
        return mixed


@dataclass(frozen=True)
class SparseCodes:
    """k-reciprocal codes of N images; of each row of the N x N numbers only those that are not zero.

    Attributes:
        rows: `[z]`, ascending.
        columns: `[z]`.
        values: `[z]`; those of a row sum to 1.
        starts: `[N + 1]`, where each row begins.
    """

    rows: Codes
    columns: Codes
    values: Floats
    starts: Codes


def reciprocal(order: Codes, workspace: int = WORKSPACE) -> NDArray[np.bool_]:
    """`[N, K]`: whether each neighbour in a list has the list's owner in its own."""
    count, length = order.shape
    found = np.empty(order.shape, dtype=np.bool_)
    for start, stop in chunks(count, 9 * length**2, workspace):
        owners = np.arange(start, stop)[:, None, None]
        found[start:stop] = (order[order[start:stop]] == owners).any(axis=2)
    return found


def encode(graph: Neighbours, k1: int, distances: Pairs, workspace: int = WORKSPACE) -> SparseCodes:
    """The expanded k-reciprocal neighbours of each image and their weights exp(-d) (sections 3.2, 3.3).

    R(i) are the reciprocal ones among the k1 nearest. For each c of them, those reciprocal among its
    k1 / 2 nearest come to it if more than two thirds of them are in R(i) already.

    Args:
        graph: neighbours, at least k1 + 1 or all.
        k1: see `KReciprocal`.
        distances: of pairs.
        workspace: bytes to work in.
    """
    count = len(graph.order)
    long, short = graph.order[:, : k1 + 1], graph.order[:, : round(k1 / 2) + 1]
    mutual, mutual_short = reciprocal(long, workspace), reciprocal(short, workspace)
    sizes = mutual_short.sum(axis=1)
    all_rows, all_columns = [], []
    each = count + 12 * long.shape[1] * short.shape[1]
    for start, stop in chunks(count, each, workspace):
        own = np.arange(stop - start)
        members = np.zeros((stop - start, count), dtype=np.bool_)
        members[own[:, None], long[start:stop]] = mutual[start:stop]
        candidates = long[start:stop]
        reached, real = short[candidates], mutual_short[candidates]
        shared = (members[own[:, None, None], reached] & real).sum(axis=2)
        taken = mutual[start:stop] & (3 * shared > 2 * sizes[candidates])
        row, place, step = np.nonzero(taken[:, :, None] & real)
        members[row, reached[row, place, step]] = True
        rows, columns = np.nonzero(members)
        all_rows.append(rows + start)
        all_columns.append(columns)
    rows, columns = np.concatenate(all_rows), np.concatenate(all_columns)
    values = np.exp(-distances(rows, columns) / _not_zero(graph.farthest)[rows])
    # With exact copies among the images, one may be missing from its own list and have no neighbour at all.
    sums = np.maximum(np.bincount(rows, values, minlength=count), np.finfo(np.float32).tiny)
    starts = np.searchsorted(rows, np.arange(count + 1))
    return SparseCodes(rows, columns, (values / sums[rows]).astype(np.float32), starts)


def jaccard_distances(codes: SparseCodes, graph: Neighbours, k2: int, probe: int) -> Floats:
    """`[N]` from one image to all (sections 3.3, 3.4).

    Every code is averaged with those of the k2 nearest. Only the columns where the probe has something count:
    elsewhere the smaller of two numbers is zero, and the larger ones follow from rows that sum to 1.
    """
    count = len(graph.order)
    sources = graph.order[:, :k2] if k2 > 1 else np.arange(count)[:, None]
    profile = np.zeros(count, dtype=np.float32)
    for source in sources[probe]:
        part = slice(codes.starts[source], codes.starts[source + 1])
        profile[codes.columns[part]] += codes.values[part]
    used = np.flatnonzero(profile)
    place = np.full(count, -1)
    place[used] = np.arange(len(used))
    inside = place[codes.columns]
    kept = inside >= 0
    own = np.zeros((count, len(used)), dtype=np.float32)
    own[codes.rows[kept], inside[kept]] = codes.values[kept]
    mean = np.zeros_like(own)
    for column in sources.T:
        mean += own[column]
    shared = np.minimum(mean, profile[used]).sum(axis=1) / sources.shape[1]
    jaccard: Floats = 1 - shared / (2 - shared)
    return jaccard


def _not_zero(values: Floats) -> Floats:
    return np.maximum(values, np.finfo(np.float32).tiny)
