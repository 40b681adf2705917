"""Ten virtual cameras: fixed changes that turn one camera's images into those of another, unseen one.

They are for measuring only: no training, no choice of an augmentation and no mining may use them, or
`evaluate-shift` says nothing about new cameras any more. Each image has a small jitter of its own, seeded by
the camera's and the file's name, so that it is the same on every machine and in every order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from training.evaluation.shift import changes
from training.evaluation.shift.changes import Colours

STOPS, WHITE, CROP, QUALITY = 0.15, 0.02, 0.02, 4
"""The most that one image differs from the others of its camera: stops, share of a colour's light, share of a
side, JPEG quality."""


@dataclass(frozen=True)
class VirtualCamera:
    """What a camera does to all its images.

    Attributes:
        name: its camera id.
        about: in a few words.
        stops: of exposure; +1 doubles the light.
        white: factors on red, green and blue light.
        contrast: slope about mid grey.
        saturation: 0 for grey.
        crop: shares that its boxes cut off left, top, right, bottom.
        steeper: share of the width that is cut off both ends of the top edge.
        longer_side: most px of height and width.
        sharpness: percent of unsharp masking; negative: per mille of the longer side as blur.
        noise: deviation, in shares of white.
        quality: of its JPEG.
    """

    name: str
    about: str
    stops: float = 0
    white: Colours = (1, 1, 1)
    contrast: float = 1
    saturation: float = 1
    crop: tuple[float, float, float, float] = (0, 0, 0, 0)
    steeper: float = 0
    longer_side: int = 512
    sharpness: float = 0
    noise: float = 0
    quality: int = 85

    def see(self, image: Image.Image, name: str) -> Image.Image:
        """An RGB image as this camera would have taken it.

        Args:
            image: of any size.
            name: of its file, which decides the jitter.
        """
        source = random.Random(f"{self.name}/{name}")  # noqa: S311
        left, top, right, bottom = (max(0.0, side + source.uniform(-CROP, CROP)) for side in self.crop)
        red, green, blue = (each * (1 + source.uniform(-WHITE, WHITE)) for each in self.white)
        stops = self.stops + source.uniform(-STOPS, STOPS)
        quality = self.quality + source.randint(-QUALITY, QUALITY)
        seed = source.getrandbits(32)

        image = changes.steeper(changes.cropped(image, left, top, right, bottom), self.steeper)
        image = changes.shrunk(image, self.longer_side)
        if self.sharpness < 0:
            image = changes.blurred(image, -self.sharpness / 1000)
        image = changes.recoloured(
            image,
            stops=stops,
            white=(red, green, blue),
            contrast=self.contrast,
            saturation=self.saturation,
        )
        if self.noise:
            image = changes.noisy(image, self.noise, seed)
        if self.sharpness > 0:
            image = changes.sharpened(image, self.sharpness)
        return changes.compressed(image, quality)


VIRTUAL_CAMERAS = (
    VirtualCamera(
        "dark-blue",
        "darker, bluer, more contrast, steeper",
        stops=-1.1,
        white=(0.80, 0.95, 1.30),
        contrast=1.3,
        steeper=0.10,
        quality=75,
    ),
    VirtualCamera(
        "hazy-warm",
        "bright and washed out, warm",
        stops=0.6,
        white=(1.15, 1.0, 0.80),
        contrast=0.65,
        sharpness=-8,
    ),
    VirtualCamera(
        "sodium-lamps",
        "street lamps: dark, orange, noisy",
        stops=-1.5,
        white=(1.45, 1.0, 0.50),
        contrast=1.15,
        sharpness=-6,
        noise=0.03,
        quality=70,
    ),
    VirtualCamera(
        "far-away",
        "low resolution, compressed",
        contrast=1.1,
        longer_side=48,
        quality=50,
    ),
    VirtualCamera(
        "over-sharpened",
        "sharpened with halos, strongly compressed, saturated",
        saturation=1.5,
        contrast=1.15,
        longer_side=160,
        sharpness=250,
        quality=22,
    ),
    VirtualCamera(
        "soft-lens",
        "out of focus, flat, a little dark",
        stops=-0.4,
        contrast=0.75,
        sharpness=-22,
    ),
    VirtualCamera(
        "overcast-green",
        "pale, with a green cast",
        white=(0.85, 1.15, 0.95),
        saturation=0.55,
        contrast=0.9,
        quality=60,
    ),
    VirtualCamera(
        "tight-boxes",
        "boxes cut into the vehicle, contrast high",
        crop=(0.03, 0.12, 0.14, 0.05),
        contrast=1.25,
        sharpness=80,
    ),
    VirtualCamera(
        "overexposed",
        "against the sun: highlights lost, cool",
        stops=1.3,
        white=(0.95, 1.0, 1.15),
        contrast=1.1,
        crop=(0.05, 0.02, 0.02, 0.08),
        quality=65,
    ),
    VirtualCamera(
        "infrared-night",
        "nearly without colour, dark, noisy, soft, steeper",
        stops=-0.9,
        saturation=0.08,
        contrast=1.3,
        steeper=0.06,
        longer_side=128,
        sharpness=-10,
        noise=0.045,
        quality=55,
    ),
)
