"""Samples of more than 8 bits, of which a camera may fill fewer than the file has."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from models.decoding.opened import Opened

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras give a sample."""
_OTHER_BYTE = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "RGBX;16B": "RGBX;16L"}
_OTHER_BYTE |= {low: high for high, low in _OTHER_BYTE.items()}


def significant_bits(largest: int, stated: int | None = None) -> int:
    """How many bits of a sample a file uses.

    What a camera of 12 bits puts into samples of 16 would be all but black if they were taken at face value.

    Args:
        largest: of the file's numbers.
        stated: by the file; it counts where no number is beyond it.
    """
    if stated is not None and largest < 1 << stated:
        return stated
    return next((bits for bits in DEPTHS if largest < 1 << bits), largest.bit_length())


def to_bytes(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Numbers of that many bits as the first 8 of them."""
    return (values.astype(np.uint32) >> bits - 8).astype(np.uint8)


def deep_samples(opened: Opened) -> NDArray[np.uint16] | None:
    """Colours of 16 bits, `[H, W, 3 or 4]`, where the 8 that Pillow keeps of them do not do; else None.

    They do unless the file uses fewer bits than it has, or has a transparent colour to compare with.
    """
    image, samples = opened.image, opened.samples
    if samples.depth != 16 or opened.reopen is None or image.mode not in ("RGB", "RGBA"):
        return None
    high = np.asarray(image)
    if samples.key is None and high[..., :3].max() >> 6:
        return None
    other = opened.reopen()
    if not isinstance(other, ImageFile.ImageFile) or not _read_other_byte(other):
        return None
    other.load()
    values = high.astype(np.uint16)
    np.left_shift(values, 8, out=values)
    np.bitwise_or(values, np.asarray(other), out=values)
    return values


def _read_other_byte(image: ImageFile.ImageFile) -> bool:
    """Let an image that is not loaded read its samples in the other order of bytes; False where it cannot."""
    foreign = "B" if sys.byteorder == "little" else "L"
    tiles = []
    for tile in image.tile:
        alone = isinstance(tile.args, str)
        mode = str(tile.args if alone else tile.args[0])  # type: ignore[index]
        other = mode[:-1] + foreign if mode.endswith(";16N") else _OTHER_BYTE.get(mode, "")
        if not other:
            return False
        tiles.append(tile._replace(args=other if alone else (other, *tile.args[1:])))  # type: ignore[index]
    image.tile = tiles
    return bool(tiles)
