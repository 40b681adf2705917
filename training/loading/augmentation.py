"""Random changes of a training image: what another camera, detector or hour would change.

What is changed is drawn first, in one place and one order; making the changes draws nothing, so that any
process may do it and the numbers stay the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from models.inputspec import InputSpec
from models.preprocessing import normalise, prepare
from training.config.embedder import AugmentationConfig
from training.loading.style import Style


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes of one image.

    Attributes:
        crop: fractions taken off left, top, right, bottom (negative: a border); None for none.
        shrunk: px (width, height) to go through on the way, or None.
        flip: mirrored.
        colour: factors on brightness, contrast and saturation, or None.
        grey: without colour.
        erased: top, left, height, width of a rectangle, px; None for none.
        corners: moves (x, y) of the upper left, lower left, lower right and upper right corner, as fractions
            of the sides: the image seen from another place; None for none.
        style: of another camera; None for its own.
    """

    crop: tuple[float, float, float, float] | None = None
    shrunk: tuple[int, int] | None = None
    flip: bool = False
    colour: tuple[float, float, float] | None = None
    grey: bool = False
    erased: tuple[int, int, int, int] | None = None
    corners: tuple[float, ...] | None = None
    style: Style | None = None


class Augmentation:
    """PIL image -> float32 `[3, H, W]`, another one each call, drawn from the given random generator."""

    def __init__(self, spec: InputSpec, config: AugmentationConfig) -> None:
        self.spec = spec
        self.config = config

    def __call__(self, image: Image.Image, source: random.Random) -> NDArray[np.float32]:
        """Change and prepare one RGB image."""
        return self.apply(image, self.draw(source))

    def draw(self, source: random.Random) -> Changes:
        """The changes of the next image."""
        config = self.config
        left, top, right, bottom = (source.uniform(-config.crop / 4, config.crop) for _ in range(4))
        shrunk = None
        if source.random() < config.shrink:
            scale = source.uniform(0.25, 0.8)
            shrunk = max(8, int(self.spec.width * scale)), max(8, int(self.spec.height * scale))
        flip = source.random() < config.flip
        brightness, contrast, saturation = (
            1 + source.uniform(-config.colour, config.colour) for _ in range(3)
        )
        grey = source.random() < config.grey
        erased = self._rectangle(source) if source.random() < config.erase else None
        corners = None
        if config.corners:
            corners = tuple(source.uniform(-config.corners, config.corners) for _ in range(8))
        style = None
        if config.style:
            style = Style.drawn(source, config.style, config.surroundings)
        return Changes(
            crop=(left, top, right, bottom) if config.crop else None,
            shrunk=shrunk,
            flip=flip,
            colour=(brightness, contrast, saturation) if config.colour else None,
            grey=grey,
            erased=erased,
            corners=corners,
            style=style,
        )

    def _rectangle(self, source: random.Random) -> tuple[int, int, int, int]:
        """Random erasing (Zhong et al.): a rectangle of 2-25 % of the area."""
        height, width = self.spec.height, self.spec.width
        area = source.uniform(0.02, 0.25) * height * width
        aspect = source.uniform(0.4, 2.5)
        tall = min(height, max(1, round((area * aspect) ** 0.5)))
        wide = min(width, max(1, round((area / aspect) ** 0.5)))
        return source.randint(0, height - tall), source.randint(0, width - wide), tall, wide

    def apply(self, image: Image.Image, changes: Changes) -> NDArray[np.float32]:
        """Change the RGB image, prepare and normalise it; what is erased takes the mean colour, 0."""
        size = (self.spec.width, self.spec.height)
        if changes.crop is not None or changes.corners is not None:
            left, top, right, bottom = changes.crop or (0, 0, 0, 0)
            box = (
                image.width * left,
                image.height * top,
                image.width * (1 - right),
                image.height * (1 - bottom),
            )
            frame: tuple[float, ...] = box
            method = Image.Transform.EXTENT
            if changes.corners is not None:
                frame, method = _moved(box, changes.corners), Image.Transform.QUAD
            image = image.transform(changes.shrunk or size, method, frame, Image.Resampling.BILINEAR)
        elif changes.shrunk is not None:
            image = image.resize(changes.shrunk, Image.Resampling.BILINEAR)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        if changes.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if changes.style is not None:
            image = changes.style.of(image)
        if changes.colour is not None:
            enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
            for enhance, factor in zip(enhancers, changes.colour, strict=True):
                image = enhance(image).enhance(factor)
        if changes.grey:
            image = image.convert("L").convert("RGB")
        normalised = normalise(prepare(image, self.spec), self.spec)
        if changes.erased is not None:
            top, left, tall, wide = changes.erased
            normalised[:, top : top + tall, left : left + wide] = 0
        return normalised


def _moved(box: tuple[float, ...], corners: tuple[float, ...]) -> tuple[float, ...]:
    """The corners of a box, moved, in the order of `Changes.corners`."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    places = (left, top, left, bottom, right, bottom, right, top)
    sides = (width, height) * 4
    return tuple(place + move * side for place, move, side in zip(places, corners, sides, strict=True))
