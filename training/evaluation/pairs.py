"""Similarities of all pairs of images from different cameras, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.retrieval import WORKSPACE, Side, similarity_chunks

BINS = 2_000_000
DECIMALS = 6
COUNTED = 2**22

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Curves:
    """How similar pairs are: counts in bins of equal width from -1 to 1.

    Attributes:
        same: pairs of one vehicle, `[BINS]`.
        different: pairs of two vehicles, `[BINS]`.
    """

    same: Counts
    different: Counts

    @property
    def edges(self) -> NDArray[np.float64]:
        """The bins' lower edges, which are the thresholds, `[BINS]`."""
        return edge(np.arange(BINS))

    def match_rates(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False- and true-match rate at each threshold, `[BINS]` each."""
        return _at_or_above(self.different), _at_or_above(self.same)


def edge(bins: NDArray[np.integer]) -> NDArray[np.float64]:
    """Lower edges of bins, a millionth apart."""
    return np.round(2 * bins / BINS - 1, DECIMALS)


def count_pairs(
    images: Side, *, workspace: int = WORKSPACE, report: Callable[[int], None] = lambda _: None
) -> Curves:
    """Similarities of all unordered pairs from different cameras, in bins."""
    same, different = _Histogram(), _Histogram()
    for row, alike, unlike, done in pairs_of(images, workspace):
        bins = np.clip((row + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)
        same.add(bins[alike])
        different.add(bins[unlike])
        report(done)
    return Curves(same.counts(), different.counts())


class _Histogram:
    """Counts in bins; what is added waits until there is enough of it, for counting touches every bin."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, dtype=np.int64)
        self._waiting: list[NDArray[np.int32]] = []
        self._size = 0

    def add(self, bins: NDArray[np.int32]) -> None:
        self._waiting.append(bins)
        self._size += len(bins)
        if self._size >= COUNTED:
            self.counts()

    def counts(self) -> Counts:
        if self._waiting:
            self._counts += np.bincount(np.concatenate(self._waiting), minlength=BINS)
            self._waiting, self._size = [], 0
        return self._counts


def pairs_of(images: Side, workspace: int) -> Iterator[tuple[NDArray[np.float64], Mask, Mask, int]]:
    """For each image its similarities to all later ones, which of them are of the same vehicle, which of
    another (both from other cameras), and the number of images done."""
    _, vehicles = np.unique(images.vehicles, return_inverse=True)
    _, cameras = np.unique(images.cameras, return_inverse=True)
    for start, chunk in similarity_chunks(images, images, workspace):
        for offset in range(len(chunk)):
            number = start + offset
            row = chunk[offset, number + 1 :].astype(np.float64)
            apart = cameras[number + 1 :] != cameras[number]
            alike = vehicles[number + 1 :] == vehicles[number]
            yield row, alike & apart, apart & ~alike, number + 1


def _at_or_above(counts: Counts) -> NDArray[np.float64]:
    return np.asarray(np.cumsum(counts[::-1])[::-1] / counts.sum(), dtype=np.float64)
