"""Camera styles that lists to learn from are made with: fixed, seeded, and none of the benchmark's.

One style a camera, as a deployment has it, so that camera normalisation has something to take out; the
virtual cameras of `evaluate-shift` are for measuring only.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

from PIL import Image

from training.datasets.image import VehicleImage
from training.evaluation.shift import changes
from training.evaluation.shift.embedding import ImageSet
from training.loading.style import Style

FITTED = (0, 1)
ASIDE = (4, 5)
"""Cameras, by the seeds of their styles: to learn from, and to choose on."""
STRENGTH = 2.0
JITTER = 0.02


def seen_by(number: int, image: Image.Image, name: str) -> Image.Image:
    """An RGB image as a learning camera would have taken it; every fifth has no colour.

    Args:
        number: of the camera.
        image: of any size.
        name: of its file, which decides the jitter.
    """
    source = random.Random(f"training camera {number}")  # noqa: S311
    style = Style.drawn(source, STRENGTH, 0.0)
    blur, quality = source.choice((0, 0, 0.01, 0.02)), source.choice((0, 40, 70))
    crop = [source.uniform(0, 0.12) for _ in range(4)]
    longer_side = source.choice((56, 96, 160, 512))
    own = random.Random(f"{number}/{name}")  # noqa: S311
    left, top, right, bottom = (max(0.0, side + own.uniform(-JITTER, JITTER)) for side in crop)
    image = changes.shrunk(changes.cropped(image, left, top, right, bottom), longer_side)
    if number % 5 == 4:
        image = image.convert("L").convert("RGB")
    if blur:
        image = changes.blurred(image, blur)
    noise = (style.noise[0], own.getrandbits(32))
    return replace(style, blur=0.0, noise=noise, quality=quality).of(image)


def image_set(number: int, images: list[VehicleImage]) -> ImageSet:
    """These images before a learning camera."""
    camera = f"own{number}"
    return ImageSet(
        f"own {number}", [replace(image, camera_id=camera) for image in images], partial(seen_by, number)
    )
