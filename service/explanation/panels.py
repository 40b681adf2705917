"""The parts of an explanation's figure; each is drawn with its top left corner at `at` and in px."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.explanation import colours, lettering
from service.explanation.colours import FAINT, INK, PAPER, RULE, Colour, ink_on
from service.explanation.lettering import NORMAL, SMALL, write
from service.explanation.words import EVEN

Numbers = NDArray[Any]
At = tuple[int, int]
Size = tuple[int, int]

CELL = 58
FAR = 2.0
"""The end of the scale of distances, the same in all figures: that of opposite unit vectors. Weights may
bring a strip beyond it."""
LEAST_RATIO = 1.25
"""What an attention's colours and ribbons span at least, so that an even one looks even."""
RIBBON = 26
"""Width of the strongest ribbon."""
_FINER = 3


def edges(count: int, length: int) -> list[int]:
    """The `count + 1` bounds of equal parts of a length."""
    return [round(part * length / count) for part in range(count + 1)]


def cut_image(
    sheet: Image.Image, at: At, size: Size, image: Image.Image, bands: int, *, on_right: bool
) -> None:
    """An image with its bands marked, numbered on its outer edge and coloured on the inner one.

    Args:
        sheet: drawn on.
        at: top left corner.
        size: of the image on the sheet.
        image: RGB of any size.
        bands: from top to bottom.
        on_right: the inner edge is the right one.
    """
    (x, y), (wide, high) = at, size
    sheet.paste(image.resize(size, Image.Resampling.LANCZOS), at)
    draw = ImageDraw.Draw(sheet)
    bounds = edges(bands, high)
    for bound in bounds[1:-1]:
        draw.line((x, y + bound, x + wide, y + bound), INK, 3)
        draw.line((x, y + bound, x + wide, y + bound), PAPER, 1)
    inner, outer = (x + wide, x + 15) if on_right else (x - 8, x + wide - 15)
    for band, (top, bottom) in enumerate(pairwise(bounds)):
        middle = y + (top + bottom) // 2
        draw.rectangle((inner, y + top + 1, inner + 8, y + bottom - 1), band_colour(band))
        draw.ellipse((outer - 11, middle - 11, outer + 11, middle + 11), PAPER, INK)
        write(draw, (outer, middle), str(band + 1), SMALL, INK, "mm")


def band_colour(band: int) -> Colour:
    """The colour of a band, the same throughout a figure."""
    return colours.BANDS[band % len(colours.BANDS)]


def ribbons(sheet: Image.Image, at: At, size: Size, attention: Numbers) -> int:
    """Ribbons from the probe's bands on the left to the candidate's on the right.

    Args:
        sheet: drawn on.
        at: top left corner.
        size: between the two images.
        attention: `[bands, bands]`, rows sum to 1. A ribbon is as wide as its weight exceeds the uniform one.

    Returns:
        How many were drawn.
    """
    bands = len(attention)
    excess = attention * bands - 1
    span = max(LEAST_RATIO - 1, float(excess.max()))
    wide, high = size[0] * _FINER, size[1] * _FINER
    drawn = 0
    for row, column in np.argwhere(excess > EVEN - 1)[np.argsort(excess[excess > EVEN - 1])]:
        layer = Image.new("L", (wide, high))
        half = max(1.0, RIBBON * _FINER * excess[row, column] / span / 2)
        start, end = ((band + 0.5) * high / bands for band in (row, column))
        steps = np.linspace(0, 1, 40)
        middle = start + (end - start) * (3 * steps**2 - 2 * steps**3)
        upper = [(float(x) * wide, float(y) - half) for x, y in zip(steps, middle, strict=True)]
        lower = [(x, y + 2 * half) for x, y in reversed(upper)]
        ImageDraw.Draw(layer).polygon(upper + lower, fill=190)
        sheet.paste(band_colour(int(row)), at, layer.resize(size, Image.Resampling.BOX))
        drawn += 1
    return drawn


def distance_table(
    sheet: Image.Image, at: At, height: int, distances: Numbers, names: tuple[str, ...]
) -> int:
    """The distance of each strip, its rows beside the images' bands; the width that it took.

    Args:
        sheet: drawn on.
        at: top left corner of the first row; names of the columns stand above.
        height: of the images.
        distances: `[columns, bands]`.
        names: of the columns.
    """
    draw = ImageDraw.Draw(sheet)
    x, y = at
    bands = distances.shape[1]
    means = distances.mean(axis=0)
    columns = [*zip(names, distances, strict=True), ("mean", means)]
    bounds = edges(bands, height)
    for number, (name, column) in enumerate(columns):
        # The mean stands apart from what it is the mean of.
        left = x + number * CELL + (10 if number == len(names) else 0)
        write(draw, (left + CELL / 2, y - 8), name, NORMAL, INK, "ms")
        for band, value in enumerate(column):
            ground = colours.colour(min(1.0, value / FAR), "distance")
            top, bottom = y + bounds[band], y + bounds[band + 1]
            draw.rectangle((left, top + 1, left + CELL - 2, bottom - 2), ground)
            write(draw, (left + CELL / 2, (top + bottom) / 2), f"{value:.2f}", NORMAL, ink_on(ground), "mm")
    right = x + len(columns) * CELL + 18
    marks = [(int(means.argmin()), "nearest"), (int(means.argmax()), "farthest")]
    if means.max() - means.min() > 0.005:
        for band, word in marks:
            write(draw, (right, y + (bounds[band] + bounds[band + 1]) / 2), word, SMALL, FAINT, "lm")
    return round(right + lettering.width("farthest", SMALL)) - x


def ratio_span(*attentions: Numbers) -> float:
    """The largest multiple of the uniform weight, or its inverse, that the colours of attention span."""
    farthest = max(float(np.abs(np.log(np.maximum(a * len(a), 1e-6))).max()) for a in attentions)
    return min(8.0, max(LEAST_RATIO, math.exp(farthest)))


def attention_map(
    sheet: Image.Image, at: At, side: int, attention: Numbers, names: tuple[str, ...], span: float
) -> None:
    """The weights `[s, s]` as multiples of the uniform one; strips stand column by column."""
    x, y = at
    ratio = np.log(np.maximum(attention * len(attention), 1e-6)) / math.log(span)
    pixels = colours.shade((ratio + 1) / 2, "attention")
    sheet.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), at)
    draw = ImageDraw.Draw(sheet)
    bounds = edges(len(names), side)
    for bound in bounds:
        draw.line((x + bound, y, x + bound, y + side), INK, 1)
        draw.line((x, y + bound, x + side, y + bound), INK, 1)
    for name, (low, high) in zip(names, pairwise(bounds), strict=True):
        write(draw, (x + (low + high) / 2, y - 7), name, SMALL, FAINT, "ms")
        write(draw, (x - 7, y + (low + high) / 2), name, SMALL, FAINT, "rm")


def colour_bar(sheet: Image.Image, at: At, size: Size, scale: str, words: tuple[str, ...]) -> None:
    """A scale from left to right, and below it what its ends, or its ends and its middle, mean."""
    (x, y), (wide, high) = at, size
    sheet.paste(Image.fromarray(np.tile(colours.shade(np.linspace(0, 1, wide), scale), (high, 1, 1))), at)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((x, y, x + wide, y + high), outline=RULE)
    for number, word in enumerate(words):
        share = number / (len(words) - 1)
        anchor = "ls" if number == 0 else "rs" if number == len(words) - 1 else "ms"
        write(draw, (x + share * wide, y + high + 16), word, SMALL, FAINT, anchor)


def overlay(image: Image.Image, activation: Numbers, size: Size) -> Image.Image:
    """An image in grey under a branch's activations `[h, w]`, from their lowest to their highest."""
    span = float(activation.max() - activation.min())
    level = (activation - activation.min()) / span if span else np.zeros_like(activation)
    smooth = Image.fromarray(level.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    tint = Image.fromarray(colours.shade(np.asarray(smooth), "activation"))
    grey = image.resize(size, Image.Resampling.LANCZOS).convert("L").convert("RGB")
    return Image.blend(grey, tint, 0.58)
