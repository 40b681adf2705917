"""Any colours to RGB: transparent pixels become one colour, and deep samples keep their brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.decoding.deep import DeepSamples, bands, deep_samples, significant_bits, to_bytes
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
        return _deep(deep, samples)
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
    alpha = image if image.mode == "RGBA" else image.convert("RGBA")
    background = Image.new("RGB", image.size, BACKGROUND)
    background.paste(alpha.convert("RGB"), mask=alpha.getchannel("A"))
    return background


def _keyed(image: Image.Image, samples: Samples) -> Image.Image:
    """An image of 8 bits or fewer, one of whose colours is transparent."""
    # Pillow has spread shallower samples over a byte.
    spread = 255 // ((1 << samples.depth) - 1)
    rgb = np.array(image.convert("RGB"))
    pixels = (
        rgb if image.mode == "RGB" else np.asarray(image.convert("L" if image.mode == "1" else image.mode))
    )
    for rows in bands(*image.size):
        _hide(rgb[rows], pixels[rows], samples, spread)
    return Image.fromarray(rgb)


def _grey(values: NDArray[Any], samples: Samples) -> Image.Image:
    """Deep greys `[H, W]`, whole numbers or floats."""
    if values.dtype.kind == "f":
        # Floats go from 0 to 1, or to the white of some number of bits.
        top = max(float(_finite(values[rows]).max()) for rows in bands(*values.shape[::-1]))
        scale = 255 / (1.0 if top <= 1 else (1 << significant_bits(int(top))) - 1)
        bits = 8
    else:
        if not samples.signed:
            # Pillow has signs for all whole numbers of 32 bits.
            values = values.view(values.dtype.str.replace("i", "u"))
        bits = significant_bits(max(0, int(values.max())), samples.significant)
        if samples.signed:
            bits = min(bits, samples.depth - 1)
    rgb = np.empty((*values.shape, 3), dtype=np.uint8)
    for rows in bands(*values.shape[::-1]):
        band = values[rows]
        numbers = np.rint(_finite(band) * scale) if values.dtype.kind == "f" else np.maximum(band, 0)
        numbers = numbers.astype(np.uint32)
        if samples.white_is_zero:
            numbers = ((1 << bits) - 1) - numbers
        rgb[rows] = to_bytes(numbers, bits)[..., None]
        _hide(rgb[rows], band, samples)
    return Image.fromarray(rgb)


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    finite: NDArray[Any] = np.nan_to_num(np.clip(values, 0, None), nan=0, posinf=0)
    return finite


def _deep(deep: DeepSamples, samples: Samples) -> Image.Image:
    """Deep colours, or deep greys with alpha."""
    with_alpha = deep.channels in (2, 4)
    largest = np.max([band.max(axis=0).max(axis=0) for _, band in deep.bands()], axis=0)
    shown = largest[:-1] if with_alpha else largest
    bits = significant_bits(int(shown.max()), samples.significant)
    opaque = significant_bits(int(largest[-1]), samples.significant)
    width, height = deep.high.size
    pixels = np.empty((height, width, 4 if with_alpha else 3), dtype=np.uint8)
    for rows, band in deep.bands():
        # A grey is the same in all three.
        pixels[rows, :, :3] = to_bytes(band[..., : len(shown)], bits)
        if with_alpha:
            pixels[rows, :, 3] = to_bytes(band[..., -1], opaque)
        else:
            _hide(pixels[rows], band, samples)
    image = Image.fromarray(pixels)
    return _on_background(image) if with_alpha else image


def _hide(rgb: NDArray[np.uint8], values: NDArray[Any], samples: Samples, spread: int = 1) -> None:
    """Give those of some rows that have the transparent colour the background's.

    Args:
        rgb: what they show, `[rows, W, 3]`; changed in place.
        values: what the file says of them, `[rows, W]` or `[rows, W, channels]`.
        samples: with the transparent colour.
        spread: by how much a shallow sample of the file is multiplied in `values`.
    """
    if samples.key is None:
        return
    channels = values if values.ndim == 3 else values[..., None]
    same = channels[..., 0] == samples.key[0] * spread
    for channel, number in enumerate(samples.key[1:], start=1):
        same &= channels[..., channel] == number * spread
    rgb[same] = BACKGROUND
