"""Random camera styles: what another sensor, light, lens and road would make of an image.

Every image of a batch is given a style of its own, so that two images of a vehicle never share one, and two
vehicles on one road need not look as if they did. Drawn first and applied later, as in `augmentation`.
"""

from __future__ import annotations

import io
import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter


@dataclass(frozen=True, slots=True)
class Tone:
    """How light becomes numbers.

    Attributes:
        gains: factors on R, G and B: exposure and white balance together.
        gamma: power of the values in 0..1.
        contrast: factor about the mean.
        saturation: factor about the grey value.
        haze: share of white that is mixed in; negative: darker shadows.
    """

    gains: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float
    haze: float

    @classmethod
    def drawn(cls, source: random.Random, strength: float) -> Tone:
        """A random one; a strength of 0 changes nothing."""
        exposure = source.gauss(0, 0.4) * strength
        red, green, blue = (math.exp(exposure + source.gauss(0, 0.13) * strength) for _ in range(3))
        return cls(
            gains=(red, green, blue),
            gamma=math.exp(source.uniform(-0.4, 0.4) * strength),
            contrast=math.exp(source.uniform(-0.5, 0.5) * strength),
            saturation=1 + source.uniform(-0.7, 0.5) * strength,
            haze=source.uniform(-0.06, 0.15) * strength,
        )

    def of(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values `[H, W, 3]` in 0..1 -> the same, changed and cut to 0..1."""
        changed = np.clip(pixels, 1e-4, 1) ** np.float32(self.gamma) * np.array(self.gains, np.float32)
        mean = changed.mean(axis=(0, 1), keepdims=True)
        changed = mean + (changed - mean) * np.float32(self.contrast)
        grey = changed.mean(axis=2, keepdims=True)
        changed = grey + (changed - grey) * np.float32(self.saturation)
        result: NDArray[np.float32] = np.clip(changed + (1 - changed) * np.float32(self.haze), 0, 1)
        return result


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What becomes of the road about the vehicle, outside a soft rounded frame.

    Attributes:
        tone: of the surroundings alone.
        colour: R, G, B in 0..1 of a flat colour that is mixed in.
        share: of the flat colour.
        reach: half-width and half-height of the frame, as parts of the image's.
    """

    tone: Tone
    colour: tuple[float, float, float]
    share: float
    reach: tuple[float, float]

    @classmethod
    def drawn(cls, source: random.Random, strength: float) -> Surroundings:
        """Random ones."""
        grey = source.uniform(0.1, 0.8)
        red, green, blue = (min(1.0, max(0.0, grey + source.gauss(0, 0.08))) for _ in range(3))
        return cls(
            tone=Tone.drawn(source, strength),
            colour=(red, green, blue),
            share=source.random(),
            reach=(source.uniform(0.7, 0.95), source.uniform(0.7, 0.95)),
        )

    def of(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values `[H, W, 3]` in 0..1 -> the same with other surroundings."""
        height, width = pixels.shape[:2]
        y = np.abs(np.linspace(-1, 1, height, dtype=np.float32)) / np.float32(self.reach[1])
        x = np.abs(np.linspace(-1, 1, width, dtype=np.float32)) / np.float32(self.reach[0])
        distance = (y[:, None] ** 4 + x[None, :] ** 4) ** np.float32(0.25)
        outside = np.clip((distance - 0.9) / 0.2, 0, 1)[..., None]
        toned = self.tone.of(pixels)
        other = toned + (np.array(self.colour, np.float32) - toned) * np.float32(self.share)
        mixed: NDArray[np.float32] = (pixels + (other - pixels) * outside).astype(np.float32)
        return mixed


@dataclass(frozen=True, slots=True)
class Style:
    """The style of one image.

    Attributes:
        tone: of the whole image.
        surroundings: of the road about the vehicle; None to leave it.
        light: direction (radians) and strength of light that falls off across the image.
        blur: radius, px; 0 for none.
        noise: deviation of the sensor's noise, of values in 0..1, and its seed.
        quality: of a JPEG file that the image goes through; 0 for none.
    """

    tone: Tone
    surroundings: Surroundings | None
    light: tuple[float, float]
    blur: float
    noise: tuple[float, int]
    quality: int

    @classmethod
    def drawn(cls, source: random.Random, strength: float, surroundings: float) -> Style:
        """A random style.

        Args:
            source: random generator.
            strength: of the greatest changes; an image's own is drawn from 0 to it. 1 goes from noon to dusk.
            surroundings: probability of other surroundings.
        """
        strength *= source.random()
        tone = Tone.drawn(source, strength)
        around = Surroundings.drawn(source, strength) if source.random() < surroundings else None
        return cls(
            tone=tone,
            surroundings=around,
            light=(source.uniform(0, 2 * math.pi), source.uniform(0, 0.5) * strength),
            blur=source.uniform(0.3, 1.3) * strength if source.random() < 0.3 else 0.0,
            noise=(source.uniform(0, 0.04) * strength, source.getrandbits(32)),
            quality=source.randint(20, 75) if source.random() < 0.25 * strength else 0,
        )

    def of(self, image: Image.Image) -> Image.Image:
        """An RGB image in this style."""
        pixels: NDArray[np.float32] = np.asarray(image, np.float32) / np.float32(255)
        if self.surroundings is not None:
            pixels = self.surroundings.of(pixels)
        pixels = self.tone.of(pixels)
        height, width = pixels.shape[:2]
        direction, fall = self.light
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(math.sin(direction))
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(math.cos(direction))
        pixels = (pixels * (1 + np.float32(fall) * (x + y) / 2)[..., None]).astype(np.float32)
        deviation, seed = self.noise
        if deviation:
            drawn = np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32)
            pixels = pixels + drawn * np.float32(deviation)
        styled = Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
        if self.blur:
            styled = styled.filter(ImageFilter.GaussianBlur(self.blur))
        if self.quality:
            file = io.BytesIO()
            styled.save(file, "JPEG", quality=self.quality)
            styled = Image.open(file).convert("RGB")
        return styled
