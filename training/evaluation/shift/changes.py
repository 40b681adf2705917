"""What lies between a scene and its image file, as changes of an RGB image: lens, sensor, box, compression.

Each is a pure function: the same image and the same arguments give the same pixels.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Colours = tuple[float, float, float]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of an image, as shares of its width and height."""
GAMMA = 2.2
SMALLEST_SIDE = 8
"""px; no change makes an image smaller."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Cut shares of the width and the height off the sides."""
    width, height = image.size
    box = [round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom))]
    box[2] = max(box[2], min(width, box[0] + SMALLEST_SIDE))
    box[3] = max(box[3], min(height, box[1] + SMALLEST_SIDE))
    return image.crop((box[0], box[1], box[2], box[3]))


def steeper(image: Image.Image, share: float) -> Image.Image:
    """As from higher up: what is on top is magnified, by cutting `share` of the width off both its ends."""
    width, height = image.size
    cut = share * width
    corners = (cut, 0, 0, height, width, height, width - cut, 0)
    return image.transform(image.size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def shrunk(image: Image.Image, longer_side: float) -> Image.Image:
    """At most `longer_side` px high and wide; a smaller image stays."""
    scale = longer_side / max(image.size)
    if scale >= 1:
        return image
    size = tuple(max(SMALLEST_SIDE, round(side * scale)) for side in image.size)
    return image.resize((size[0], size[1]), Image.Resampling.BOX)


def blurred(image: Image.Image, share: float) -> Image.Image:
    """Gaussian blur with a deviation of `share` of the longer side."""
    return image.filter(ImageFilter.GaussianBlur(share * max(image.size)))


def sharpened(image: Image.Image, percent: float) -> Image.Image:
    """Unsharp masking as cameras do it, with halos from about 100 percent on."""
    return image.filter(ImageFilter.UnsharpMask(radius=1.5, percent=round(percent), threshold=0))


def recoloured(
    image: Image.Image,
    *,
    stops: float = 0,
    white: Colours = (1, 1, 1),
    contrast: float = 1,
    saturation: float = 1,
) -> Image.Image:
    """Another exposure and tone: light first, then the curve that a camera puts on it.

    Args:
        image: RGB.
        stops: of exposure; +1 doubles the light.
        white: factors on red, green and blue light.
        contrast: slope about mid grey.
        saturation: 0 for grey.
    """
    light = (np.asarray(image, dtype=np.float32) / 255) ** GAMMA
    light *= np.asarray(white, dtype=np.float32) * np.float32(2**stops)
    tones = np.minimum(light, 1) ** (1 / GAMMA)
    grey = (tones @ LUMA)[..., None]
    tones = (grey + saturation * (tones - grey) - 0.5) * contrast + 0.5
    return _as_image(tones)


def noisy(image: Image.Image, deviation: float, seed: int) -> Image.Image:
    """Gaussian noise of the sensor, in shares of white."""
    pixels = np.asarray(image, dtype=np.float32) / 255
    noise = np.random.default_rng(seed).normal(0, deviation, pixels.shape)
    return _as_image(pixels + noise.astype(np.float32))


def compressed(image: Image.Image, quality: int) -> Image.Image:
    """Through JPEG of that quality, 1-95, and back."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def occluded(
    image: Image.Image, share: float, *, aspect: float, place: tuple[float, float], grey: int
) -> Image.Image:
    """Something flat before the vehicle.

    Args:
        image: RGB.
        share: of the area that it hides.
        aspect: its height over its width, both in shares of the image's.
        place: where it is, 0..1 from left to right and from top to bottom.
        grey: its tone, 0-255.
    """
    width, height = image.size
    left, top, right, bottom = occluded_box(share, aspect, place)
    out = image.copy()
    box = (round(width * left), round(height * top), round(width * right), round(height * bottom))
    out.paste((grey, grey, grey), box)
    return out


def occluded_box(share: float, aspect: float, place: tuple[float, float]) -> Box:
    """What `occluded` hides."""
    tall, wide = math.sqrt(share * aspect), math.sqrt(share / aspect)
    # What would be higher or wider than the image hides as much of it another way.
    tall, wide = min(1, max(tall, share)), min(1, max(wide, share))
    left, top = place[0] * (1 - wide), place[1] * (1 - tall)
    return left, top, left + wide, top + tall


def _as_image(tones: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.round(np.clip(tones, 0, 1) * 255).astype(np.uint8))
