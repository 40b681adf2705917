"""From a decoded image to the network's input: the one way, for training and serving alike."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Spec(Protocol):
    """What `models.inputspec.InputSpec` says; a process that only decodes does without pydantic."""

    @property
    def height(self) -> int:
        """In px."""

    @property
    def width(self) -> int:
        """In px."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Per channel, of values scaled to 0..1."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Per channel, of values scaled to 0..1."""


def normalise(image: Image.Image, spec: Spec, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """RGB image of the spec's size -> float32 `[3, H, W]`, mean and std taken out; in `out` where given."""
    planes = np.asarray(image).transpose(2, 0, 1)
    scale, offset = _scale_and_offset(spec.mean, spec.std)
    prepared = np.empty(planes.shape, dtype=np.float32) if out is None else out
    np.multiply(planes, scale, out=prepared)
    prepared += offset
    return prepared


@lru_cache(maxsize=8)
def _scale_and_offset(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What takes a byte to its prepared value, `[3, 1, 1]` each: two passes over the pixels, not four."""
    means, deviations = (np.asarray(each).reshape(3, 1, 1) for each in (mean, std))
    return (1 / (255 * deviations)).astype(np.float32), (-means / deviations).astype(np.float32)


def prepare(image: Image.Image, spec: Spec, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """RGB image of any size -> float32 `[3, H, W]`, squeezed to the spec's size; in `out` where given."""
    size = (spec.width, spec.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return normalise(image, spec, out)
