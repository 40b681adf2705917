"""Samples of more than 8 bits, of which a camera may fill fewer than the file has.

They are gone through in bands of rows: all of a large image's at once take more memory than one is given.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from models.decoding.opened import Opened

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras give a sample."""
BAND_PIXELS = 250_000
"""Pixels of a band, or one row: as many as a processor's caches hold."""
_OTHER_BYTE = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "RGBX;16B": "RGBX;16L"}
_OTHER_BYTE |= {low: high for high, low in _OTHER_BYTE.items()}


def bands(width: int, height: int) -> Iterator[slice]:
    """The rows of an image, in bands."""
    rows = max(1, BAND_PIXELS // width)
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


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
    return (values >> bits - 8).astype(np.uint8)


@dataclass(frozen=True)
class DeepSamples:
    """Samples of 16 bits of an image in colour, or in grey with alpha.

    Attributes:
        high: Pillow's image of their first 8 bits, or of all 16 where it has a channel for each byte.
        low: Pillow's image of the others; None where `high` has them.
    """

    high: Image.Image
    low: Image.Image | None

    @property
    def channels(self) -> int:
        """Samples of a pixel."""
        return len(self.high.getbands()) // (2 if self.low is None else 1)

    def bands(self) -> Iterator[tuple[slice, NDArray[np.uint16]]]:
        """The samples `[rows, W, channels]`, band after band, and which rows they are."""
        for rows in bands(*self.high.size):
            high = _rows(self.high, rows)
            if self.low is None:
                yield rows, high.view(">u2").astype(np.uint16)
            else:
                values = high.astype(np.uint16)
                np.left_shift(values, 8, out=values)
                np.bitwise_or(values, _rows(self.low, rows), out=values)
                yield rows, values


def deep_samples(opened: Opened) -> DeepSamples | None:
    """Samples of 16 bits, where the 8 that Pillow keeps of them do not do; else None.

    They do unless the file uses fewer bits than it has, or has a transparent colour to compare with.
    """
    image, samples = opened.image, opened.samples
    if samples.depth != 16 or opened.reopen is None or image.mode not in ("RGB", "RGBA"):
        return None
    extrema = np.array(image.getextrema())[:3]
    if samples.key is None and extrema.max() >> 6:
        return None
    other = opened.reopen()
    if not isinstance(other, ImageFile.ImageFile):
        return None
    if _raw_modes(other) == {"RGBA"}:
        other.load()
        return DeepSamples(other, None)
    if not _read_other_byte(other):
        return None
    other.load()
    return DeepSamples(image, other)


def _rows(image: Image.Image, rows: slice) -> NDArray[np.uint8]:
    return np.asarray(image.crop((0, rows.start, image.width, rows.stop)))


def _raw_modes(image: ImageFile.ImageFile) -> set[str]:
    """How Pillow is to read the samples of an image that is not loaded."""
    return {str(tile.args if isinstance(tile.args, str) else tile.args[0]) for tile in image.tile}  # type: ignore[index]


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
