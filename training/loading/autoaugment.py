"""AutoAugment (Cubuk et al., 2019): its published policies for CIFAR-10 and ImageNet, image by image."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

Policy = Literal["cifar10", "imagenet"]
Operation = tuple[str, float, int]
"""A change, its probability and its magnitude, 0 to 9."""

STEPS = 9
GREY = (128, 128, 128)
"""What comes in from outside."""

POLICIES: dict[Policy, tuple[tuple[Operation, Operation], ...]] = {
    # Table 7 of the paper.
    "cifar10": (
        (("invert", 0.1, 7), ("contrast", 0.2, 6)),
        (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
        (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
        (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
        (("autocontrast", 0.5, 8), ("equalize", 0.9, 2)),
        (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
        (("color", 0.4, 3), ("brightness", 0.6, 7)),
        (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
        (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
        (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
        (("color", 0.7, 7), ("translate_x", 0.5, 8)),
        (("equalize", 0.3, 7), ("autocontrast", 0.4, 8)),
        (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
        (("brightness", 0.9, 6), ("color", 0.2, 8)),
        (("solarize", 0.5, 2), ("invert", 0.0, 3)),
        (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
        (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
        (("color", 0.9, 9), ("equalize", 0.6, 6)),
        (("autocontrast", 0.8, 4), ("solarize", 0.2, 8)),
        (("brightness", 0.1, 3), ("color", 0.7, 0)),
        (("solarize", 0.4, 5), ("autocontrast", 0.9, 3)),
        (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
        (("autocontrast", 0.9, 2), ("solarize", 0.8, 3)),
        (("equalize", 0.8, 8), ("invert", 0.1, 3)),
        (("translate_y", 0.7, 9), ("autocontrast", 0.9, 1)),
    ),
    # Table 9 of the paper.
    "imagenet": (
        (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
        (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
        (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
        (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
        (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
        (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
        (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
        (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
        (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
        (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
        (("rotate", 0.8, 8), ("color", 0.4, 0)),
        (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
        (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
        (("invert", 0.6, 4), ("equalize", 1.0, 8)),
        (("color", 0.6, 4), ("contrast", 1.0, 8)),
        (("rotate", 0.8, 8), ("color", 1.0, 2)),
        (("color", 0.8, 8), ("solarize", 0.8, 7)),
        (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
        (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
        (("color", 0.4, 0), ("equalize", 0.6, 3)),
        (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
        (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
        (("invert", 0.6, 4), ("equalize", 1.0, 8)),
        (("color", 0.6, 4), ("contrast", 1.0, 8)),
        (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    ),
}
ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}


def autoaugment(pixels: NDArray[np.uint8], policy: Policy, source: np.random.Generator) -> NDArray[np.uint8]:
    """Change an image `[H, W, 3]` by one of a policy's pairs of operations, drawn at random."""
    pairs = POLICIES[policy]
    image = Image.fromarray(pixels)
    for name, probability, magnitude in pairs[int(source.integers(len(pairs)))]:
        # Drawn whether they are used or not, so that an operation does not shift the next one's numbers.
        applied, sign = source.random() < probability, 1 if source.random() < 0.5 else -1
        if applied:
            image = changed(image, name, magnitude, sign)
    return np.asarray(image)


def changed(image: Image.Image, name: str, magnitude: int, sign: int) -> Image.Image:
    """An image after one operation.

    Args:
        image: RGB.
        name: of the operation.
        magnitude: 0 to 9.
        sign: 1 or -1: the direction of what has one.
    """
    part = magnitude / STEPS
    if name in ENHANCERS:
        return ENHANCERS[name](image).enhance(1 + sign * 0.9 * part)
    if name == "invert":
        return ImageOps.invert(image)
    if name == "equalize":
        return ImageOps.equalize(image)
    if name == "autocontrast":
        return ImageOps.autocontrast(image)
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(4 * part))
    if name == "solarize":
        return ImageOps.solarize(image, round(256 * (1 - part)))
    if name == "rotate":
        return image.rotate(sign * 30 * part, fillcolor=GREY)
    shear, shift = sign * 0.3 * part, sign * 150 / 331 * part
    moved = {
        "shear_x": (1, shear, -shear * image.height / 2, 0, 1, 0),
        "shear_y": (1, 0, 0, shear, 1, -shear * image.width / 2),
        "translate_x": (1, 0, shift * image.width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, shift * image.height),
    }[name]
    return image.transform(image.size, Image.Transform.AFFINE, moved, fillcolor=GREY)
