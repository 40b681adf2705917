"""Any colours to RGB: transparent pixels become one colour, and deep samples keep their brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.decoding.deep import deep_samples, significant_bits, to_bytes
from models.decoding.errors import ImageError
from models.decoding.opened import Opened, Samples

BACKGROUND = (128, 128, 128)
"""What transparent pixels become, whatever colour they hide: grey is about nought in a network's input. A
cut-out is nearer to images of its vehicle on grey than on white or black."""

_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_DEEP_GREYS = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})


def to_rgb(opened: Opened) -> Image.Image:
    """An image in RGB, loaded if it was not.

    Raises:
        ImageError: its colours are none that can be converted.
    """
    image, samples = opened.image, opened.samples
    image.load()
    if image.mode in _DEEP_GREYS:
        return _grey(np.asarray(image), samples)
    if (deep := deep_samples(opened)) is not None:
        return _colour(deep, samples)
    if samples.key is not None:
        return _keyed(image, samples)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return _on_background(image)
    if image.mode == "LAB":
        raise ImageError("the image's colours are CIELAB, which are not decoded here; save it in RGB")
    return image.convert("RGB")


def _on_background(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    alpha = image.convert("RGBA")
    background = Image.new("RGB", image.size, BACKGROUND)
    background.paste(alpha.convert("RGB"), mask=alpha.getchannel("A"))
    return background


def _keyed(image: Image.Image, samples: Samples) -> Image.Image:
    """An image of 8 bits or fewer, one of whose colours is transparent."""
    # Pillow has spread shallower samples over a byte.
    spread = 255 // ((1 << samples.depth) - 1)
    pixels = np.asarray(image.convert("L" if image.mode == "1" else image.mode))
    return _masked(np.asarray(image.convert("RGB")), _equal(pixels, samples, spread))


def _grey(values: NDArray[Any], samples: Samples) -> Image.Image:
    """Deep greys `[H, W]`, whole numbers or floats."""
    mask = _equal(values, samples)
    if values.dtype.kind == "f":
        values = np.nan_to_num(np.clip(values, 0, None), nan=0, posinf=0)
        # Floats go from 0 to 1, or to the white of some number of bits.
        top = float(values.max())
        white = 1.0 if top <= 1 else (1 << significant_bits(int(top))) - 1
        values = np.rint(values * (255 / white))
        bits = 8
    else:
        if not samples.signed:
            # Pillow has signs for all whole numbers of 32 bits.
            values = values.view(values.dtype.str.replace("i", "u"))
        values = np.maximum(values, 0)
        bits = significant_bits(int(values.max()), samples.significant)
        if samples.signed:
            bits = min(bits, samples.depth - 1)
    if samples.white_is_zero:
        values = ((1 << bits) - 1) - values
    grey = to_bytes(values, bits)
    return _masked(np.stack([grey] * 3, axis=-1), mask)


def _colour(values: NDArray[np.uint16], samples: Samples) -> Image.Image:
    """Deep colours `[H, W, 3]`, or `[H, W, 4]` with alpha."""
    bits = significant_bits(int(values[..., :3].max()), samples.significant)
    rgb = to_bytes(values[..., :3], bits)
    if values.shape[-1] == 4:
        opacity = values[..., 3:]
        alpha = to_bytes(opacity, significant_bits(int(opacity.max()), samples.significant))
        return _on_background(Image.fromarray(np.concatenate([rgb, alpha], axis=-1)))
    return _masked(rgb, _equal(values, samples))


def _equal(values: NDArray[Any], samples: Samples, spread: int = 1) -> NDArray[np.bool_] | None:
    """Which pixels have the transparent colour, `[H, W]`."""
    if samples.key is None:
        return None
    equal = np.equal(values, np.array(samples.key) * spread)
    mask: NDArray[np.bool_] = np.all(equal, axis=tuple(range(2, equal.ndim)))
    return mask


def _masked(rgb: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> Image.Image:
    if mask is not None:
        rgb = np.where(mask[..., None], np.array(BACKGROUND, dtype=np.uint8), rgb)
    return Image.fromarray(np.ascontiguousarray(rgb))
