"""Random changes of a training picture: what another camera, detector or hour would change."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from models.preprocessing import InputSpec, normalise


@dataclass(frozen=True)
class AugmentationConfig:
    """Probabilities and ranges; 0 switches a change off.

    Attributes:
        flip: probability of a mirror image.
        crop: largest fraction of each side that a crop may take off (or a border may add).
        colour: largest relative change of brightness, contrast and saturation.
        grey: probability of a grey image.
        shrink: probability of a loss of resolution, as from a camera farther away.
        erase: probability of erasing a rectangle.
    """

    flip: float = 0.5
    crop: float = 0.15
    colour: float = 0.25
    grey: float = 0.0
    shrink: float = 0.3
    erase: float = 0.5


class Augmentation:
    """PIL image -> float32 `[3, H, W]`, another one each call, drawn from the given source of chance."""

    def __init__(self, spec: InputSpec, config: AugmentationConfig) -> None:
        self.spec = spec
        self.config = config

    def __call__(self, image: Image.Image, source: random.Random) -> NDArray[np.float32]:
        """Change and prepare one RGB image."""
        config = self.config
        width, height = self.spec.width, self.spec.height
        box = self._crop(image.width, image.height, source)
        size = (width, height)
        if source.random() < config.shrink:
            scale = source.uniform(0.25, 0.8)
            small = (max(8, int(width * scale)), max(8, int(height * scale)))
            image = image.transform(small, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
            image = image.resize(size, Image.Resampling.BILINEAR)
        else:
            image = image.transform(size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
        if source.random() < config.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(1 + source.uniform(-config.colour, config.colour))
        if source.random() < config.grey:
            image = image.convert("L").convert("RGB")
        prepared = normalise(image, self.spec)
        if source.random() < config.erase:
            self._erase(prepared, source)
        return prepared

    def _crop(self, width: int, height: int, source: random.Random) -> tuple[float, float, float, float]:
        limit = self.config.crop
        left, top, right, bottom = (source.uniform(-limit / 4, limit) for _ in range(4))
        return width * left, height * top, width * (1 - right), height * (1 - bottom)

    @staticmethod
    def _erase(image: NDArray[np.float32], source: random.Random) -> None:
        """Random erasing (Zhong et al.): a rectangle of 2-25 % of the area takes the mean colour, 0."""
        _, height, width = image.shape
        area = source.uniform(0.02, 0.25) * height * width
        aspect = source.uniform(0.4, 2.5)
        tall = min(height, max(1, round((area * aspect) ** 0.5)))
        wide = min(width, max(1, round((area / aspect) ** 0.5)))
        top, left = source.randint(0, height - tall), source.randint(0, width - wide)
        image[:, top : top + tall, left : left + wide] = 0
