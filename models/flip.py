"""Flip test-time augmentation: a descriptor is that of an image and of its mirror image together."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.preprocessing import Pixels
from models.runtimes.forward import Answer, Forward

TINY = 1e-12


def with_flip(forward: Forward, largest: int = 0) -> Forward:
    """A forward pass whose descriptors are the means of both, to unit length; strips are the image's own.

    Args:
        forward: one that answers descriptors and strips of images as they are.
        largest: up to so many images go through at once, mirrored ones included; else each half by itself.
    """

    def both(images: Pixels) -> Answer:
        mirrored = np.ascontiguousarray(images[..., ::-1])
        if 2 * len(images) > largest:
            descriptors, strips = forward(images)
            return mean_direction(descriptors, forward(mirrored)[0]), strips
        descriptors, strips = forward(np.concatenate([images, mirrored]))
        own, others = descriptors[: len(images)], descriptors[len(images) :]
        return mean_direction(own, others), None if strips is None else strips[: len(images)]

    return both


def passes(batch_sizes: Iterable[int]) -> tuple[int, ...]:
    """The sizes, ascending, of the batches that `with_flip` makes of batches of these sizes."""
    sizes = sorted(batch_sizes)
    return tuple(sorted({size if 2 * size > sizes[-1] else 2 * size for size in sizes}))


def mean_direction(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float32]:
    """The normalised sums of two sets of descriptors `[n, d]`, row by row."""
    sums = np.asarray(one, np.float32) + np.asarray(other, np.float32)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), TINY), np.float32)
