"""From a decoded image to the network's input: the one way, for training and serving alike."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    # Not when this runs: a process that only decodes does without pydantic.
    from models.inputspec import InputSpec


def normalise(image: Image.Image, spec: InputSpec) -> NDArray[np.float32]:
    """RGB image of the spec's size -> float32 `[3, H, W]`, mean and std taken out."""
    planes = np.asarray(image).transpose(2, 0, 1)
    scale, offset = _scale_and_offset(spec.mean, spec.std)
    prepared = np.empty(planes.shape, dtype=np.float32)
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


def prepare(image: Image.Image, spec: InputSpec) -> NDArray[np.float32]:
    """RGB image of any size -> float32 `[3, H, W]`, squeezed to the spec's size."""
    size = (spec.width, spec.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return normalise(image, spec)
