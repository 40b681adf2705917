"""From a decoded image to the network's input: the one way, for training and serving alike.

A prepared image stays in bytes, a quarter of what its numbers take, until a runtime or a trainer takes mean
and std out of a whole batch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""Of prepared images, `[3, H, W]` or `[B, 3, H, W]`."""


class Size(Protocol):
    """Of what a network wants to see."""

    @property
    def height(self) -> int:
        """In px."""

    @property
    def width(self) -> int:
        """In px."""


class Spec(Size, Protocol):
    """What `models.inputspec.InputSpec` says; a process that only decodes does without pydantic."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Per channel, of values scaled to 0..1."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Per channel, of values scaled to 0..1."""


def prepare(image: Image.Image, spec: Size, out: Pixels | None = None) -> Pixels:
    """RGB image of any size -> uint8 `[3, H, W]`, squeezed to the network's size; in `out` where given."""
    size = (spec.width, spec.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    prepared = np.empty((3, spec.height, spec.width), dtype=np.uint8) if out is None else out
    prepared[:] = np.asarray(image).transpose(2, 0, 1)
    return prepared


def normalise(prepared: Pixels, spec: Spec) -> NDArray[np.float32]:
    """Prepared images -> float32 of the same shape, mean and std taken out."""
    scale, offset = scale_and_offset(spec)
    normalised = np.multiply(prepared, scale, dtype=np.float32)
    normalised += offset
    return normalised


def scale_and_offset(spec: Spec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What takes a byte to its normalised value, `[3, 1, 1]` each: two passes over the pixels, not four."""
    return _scale_and_offset(spec.mean, spec.std)


@lru_cache(maxsize=8)
def _scale_and_offset(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    means, deviations = (np.asarray(each).reshape(3, 1, 1) for each in (mean, std))
    return (1 / (255 * deviations)).astype(np.float32), (-means / deviations).astype(np.float32)
