"""Colours that tell numbers apart for the colour-blind too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]

INK: Colour = (32, 34, 38)
FAINT: Colour = (104, 108, 116)
RULE: Colour = (208, 211, 216)
PAPER: Colour = (255, 255, 255)

BANDS: tuple[Colour, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (90, 90, 90),
)
"""Okabe and Ito's colours, for what has no order."""

_NEAR_TO_FAR = (
    "#f7fbff",
    "#deebf7",
    "#c6dbef",
    "#9ecae1",
    "#6baed6",
    "#4292c6",
    "#2171b5",
    "#08519c",
    "#08306b",
)
_LESS_TO_MORE = ("#2166ac", "#67a9cf", "#d1e5f0", "#f7f7f7", "#fddbc7", "#ef8a62", "#b2182b")
_DARK_TO_BRIGHT = (
    "#000004",
    "#1b0c41",
    "#4a0c6b",
    "#781c6d",
    "#a52c60",
    "#cf4446",
    "#ed6925",
    "#fb9b06",
    "#f7d13d",
    "#fcffa4",
)


def _table(stops: tuple[str, ...]) -> NDArray[np.float64]:
    return np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], dtype=np.float64)


_SCALES = {
    "distance": _table(_NEAR_TO_FAR),
    "attention": _table(_LESS_TO_MORE),
    "activation": _table(_DARK_TO_BRIGHT),
}
"""ColorBrewer's Blues and RdBu, and matplotlib's inferno."""


def shade(values: NDArray[Any], scale: str) -> Pixels:
    """Values from 0 to 1, `[...]`, as colours of a scale, `[..., 3]`; what lies beyond gets the end's.

    Args:
        values: numbers.
        scale: `distance`, `attention` (0.5 is in the middle) or `activation`.
    """
    table = _SCALES[scale]
    place = np.clip(np.asarray(values, dtype=np.float64), 0, 1) * (len(table) - 1)
    stops = np.arange(len(table))
    channels = [np.interp(place, stops, table[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def colour(value: float, scale: str) -> Colour:
    """One value of `shade`."""
    red, green, blue = (int(part) for part in shade(np.array(value), scale))
    return red, green, blue


def ink_on(ground: Colour) -> Colour:
    """Dark or white, whichever is readable there."""
    red, green, blue = ground
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 118 else PAPER
