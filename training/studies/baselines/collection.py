"""Images by their descriptors and what they are to each other: similarities and lists of neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MIB = 2**20
WORKSPACE = 256 * MIB
KEPT = 2048 * MIB


class Collection:
    """N images.

    Args:
        descriptors: `[N, d]`, L2-normalised.
        kept: bytes that the N x N similarities may take; where they take more, rows are computed each time
            that they are asked for.
    """

    def __init__(self, descriptors: NDArray[np.floating], kept: int = KEPT) -> None:
        self.descriptors: Floats = np.ascontiguousarray(descriptors, dtype=np.float32)
        self._kept = kept

    def __len__(self) -> int:
        return len(self.descriptors)

    @cached_property
    def _similarities(self) -> Floats | None:
        if 4 * len(self) ** 2 > self._kept:
            return None
        found: Floats = self.descriptors @ self.descriptors.T
        return found

    def rows(self, start: int, stop: int) -> Floats:
        """Similarities `[n, N]` of a stretch of the images to all; not to be written to."""
        if self._similarities is not None:
            return self._similarities[start:stop]
        found: Floats = self.descriptors[start:stop] @ self.descriptors.T
        return found

    def similarities(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
        """Of pairs of images, `[n]`; `rows` ascend."""
        if self._similarities is not None:
            return self._similarities[rows, columns]
        found = np.empty(len(rows), dtype=np.float32)
        for start, stop in self.chunks(4 * len(self)):
            part = slice(*np.searchsorted(rows, (start, stop)).tolist())
            if part.stop > part.start:
                found[part] = self.rows(start, stop)[rows[part] - start, columns[part]]
        return found

    def among(self, positions: NDArray[np.intp]) -> Floats:
        """Similarities `[n, n]` of some of the images."""
        if self._similarities is not None:
            return self._similarities[np.ix_(positions, positions)]
        chosen = self.descriptors[positions]
        found: Floats = chosen @ chosen.T
        return found

    def chunks(self, each: int, workspace: int = WORKSPACE) -> Iterator[tuple[int, int]]:
        """Stretches of images so long that `each` bytes for every one stay within the workspace."""
        yield from chunks(len(self), each, workspace)


def chunks(count: int, each: int, workspace: int = WORKSPACE) -> Iterator[tuple[int, int]]:
    """Stretches (start, stop) of `count` rows; a row takes `each` bytes."""
    size = max(1, workspace // max(1, each))
    for start in range(0, count, size):
        yield start, min(start + size, count)


@dataclass(frozen=True)
class Neighbours:
    """The nearest of each of N images, itself among them.

    Attributes:
        order: `[N, K]` positions, nearest first.
        distances: `[N, K]`, squared Euclidean.
        farthest: `[N]`, the distance of the one that is farthest away.
    """

    order: NDArray[np.intp]
    distances: Floats
    farthest: Floats


def squared_distances(similarities: Floats) -> Floats:
    """Of vectors of length 1, from their cosines."""
    return np.maximum(2 - 2 * similarities, 0, dtype=np.float32)


def neighbours(images: Collection, count: int, workspace: int = WORKSPACE) -> Neighbours:
    """The `count` nearest of each image; equal distances in the order of the images.

    Args:
        images: N of them.
        count: K; N where there are fewer.
        workspace: bytes to work in.
    """
    total = len(images)
    count = min(count, total)
    order = np.empty((total, count), dtype=np.intp)
    nearest = np.empty((total, count), dtype=np.float32)
    farthest = np.empty(total, dtype=np.float32)
    for start, stop in images.chunks(24 * total, workspace):
        distances = squared_distances(images.rows(start, stop))
        distances[np.arange(stop - start), np.arange(start, stop)] = 0
        order[start:stop] = np.argsort(distances, axis=1, kind="stable")[:, :count]
        nearest[start:stop] = np.take_along_axis(distances, order[start:stop], axis=1)
        farthest[start:stop] = distances.max(axis=1)
    return Neighbours(order, nearest, farthest)


def with_probe(known: Neighbours, distances: Floats, count: int) -> Neighbours:
    """The neighbours after one more image, the probe, has come to the N; it is number N.

    At equal distances it stands first, as probes precede the gallery where both are ranked together.

    Args:
        known: lists of the N images, each of at least `count` or of all.
        distances: `[N]`, squared Euclidean, from the probe.
        count: K of the new lists; N + 1 where there are fewer.
    """
    total = len(distances)
    count = min(count, total + 1)
    place = np.count_nonzero(known.distances[:, :count] < distances[:, None], axis=1)[:, None]
    columns = np.arange(count)
    # The place before the probe keeps its entry, each behind it takes the one before.
    source = np.clip(columns - (columns > place), 0, known.order.shape[1] - 1)
    is_probe = columns == place
    order = np.where(is_probe, total, np.take_along_axis(known.order, source, axis=1))
    nearest = np.where(is_probe, distances[:, None], np.take_along_axis(known.distances, source, axis=1))
    own = np.argsort(distances, kind="stable")[: count - 1]
    return Neighbours(
        np.concatenate([order, np.concatenate([[total], own])[None]]),
        np.concatenate([nearest, np.concatenate([[0], distances[own]]).astype(np.float32)[None]]),
        np.append(np.maximum(known.farthest, distances), distances.max()),
    )
