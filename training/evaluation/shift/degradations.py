"""Degraded queries: the probe is bad, the gallery is as it was enrolled.

For measuring only, as the virtual cameras are. What differs from image to image is seeded by the file's name.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image

from training.evaluation.shift import changes

Degradation = Callable[[Image.Image, random.Random], Image.Image]


def _blur(image: Image.Image, source: random.Random) -> Image.Image:
    return changes.blurred(image, source.uniform(0.02, 0.03))


def _night(image: Image.Image, source: random.Random) -> Image.Image:
    dark = changes.recoloured(
        image, stops=source.uniform(-3.5, -2.5), white=(0.9, 0.95, 1.15), saturation=0.5, contrast=1.1
    )
    return changes.noisy(dark, 0.03, source.getrandbits(32))


def _low_resolution(image: Image.Image, source: random.Random) -> Image.Image:
    return changes.shrunk(image, source.uniform(24, 32))


def _bad_crop(image: Image.Image, source: random.Random) -> Image.Image:
    sides = [source.uniform(0, 0.08) for _ in range(4)]
    sides[source.randrange(4)] = source.uniform(0.25, 0.35)
    return changes.cropped(image, sides[0], sides[1], sides[2], sides[3])


def _occlusion(share: float) -> Degradation:
    def change(image: Image.Image, source: random.Random) -> Image.Image:
        aspect, place = _drawn(source)
        return changes.occluded(image, share, aspect=aspect, place=place, grey=source.randint(40, 160))

    return change


def _drawn(source: random.Random) -> tuple[float, tuple[float, float]]:
    """Height over width of what hides a vehicle, and its place."""
    return source.uniform(0.5, 2), (source.random(), source.random())


DEGRADATIONS: dict[str, Degradation] = {
    "blur": _blur,
    "occlusion 20 %": _occlusion(0.2),
    "occlusion 40 %": _occlusion(0.4),
    "night": _night,
    "low resolution": _low_resolution,
    "bad crop": _bad_crop,
}

OCCLUDED_SHARES = {f"occlusion {share} %": share / 100 for share in (20, 40, 60, 80)}
OCCLUSIONS: dict[str, Degradation] = {kind: _occlusion(share) for kind, share in OCCLUDED_SHARES.items()}
"""How much of a probe may be hidden before it is not found any more."""


def degraded(image: Image.Image, kind: str, name: str) -> Image.Image:
    """An RGB image degraded in one way.

    Args:
        image: of any size.
        kind: a key of `DEGRADATIONS` or of `OCCLUSIONS`.
        name: of its file, which decides what is drawn.
    """
    return (DEGRADATIONS | OCCLUSIONS)[kind](image, _source(kind, name))


def hidden_box(kind: str, name: str) -> changes.Box:
    """What `degraded` hides of an image.

    Args:
        kind: a key of `OCCLUSIONS`.
        name: of its file.
    """
    return changes.occluded_box(OCCLUDED_SHARES[kind], *_drawn(_source(kind, name)))


def _source(kind: str, name: str) -> random.Random:
    return random.Random(f"{kind}/{name}")  # noqa: S311
