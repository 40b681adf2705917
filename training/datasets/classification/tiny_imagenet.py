"""Tiny-ImageNet (Le and Yang, 2015), 200 classes of 64x64 images; what is measured on is its validation part.

tiny-imagenet-200/   wnids.txt, train/n01443537/images/*.JPEG, val/images/*.JPEG,
                     val/val_annotations.txt: file name, class and a box, separated by tabs
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from training.datasets.classification import (
    CLASSIFICATION_LAYOUTS,
    ClassificationData,
    ClassificationLayout,
    LabelledImages,
)
from training.datasets.files import require, rows
from training.datasets.image import DatasetError

SIDE = 64


def read_tiny_imagenet(root: Path) -> ClassificationData:
    """Tiny-ImageNet; all images are decoded into memory (1.4 GB of them)."""
    annotations = root / "val" / "val_annotations.txt"
    require(root, "Tiny-ImageNet", ["wnids.txt", "train/", "val/images/", "val/val_annotations.txt"])
    classes = tuple(text for _, text, _ in rows(root / "wnids.txt"))
    number = {name: label for label, name in enumerate(classes)}
    train: list[tuple[Path, int]] = []
    for name in classes:
        files = sorted((root / "train" / name / "images").glob("*.JPEG"))
        if not files:
            raise DatasetError(f"{root / 'train' / name / 'images'}: has no .JPEG files")
        train += [(path, number[name]) for path in files]
    test = []
    for _, text, origin in rows(annotations):
        file, _, rest = text.partition("\t")
        name = rest.partition("\t")[0]
        if name not in number:
            raise DatasetError(f"{annotations}, {origin}: {name!r} is no class of wnids.txt")
        test.append((root / "val" / "images" / file, number[name]))
    return ClassificationData("tiny-imagenet", classes, _decoded(train), _decoded(test))


def _decoded(files: Sequence[tuple[Path, int]]) -> LabelledImages:
    pixels = np.empty((len(files), SIDE, SIDE, 3), dtype=np.uint8)
    for place, (path, _) in enumerate(files):
        try:
            with Image.open(path, formats=["JPEG"]) as image:
                if image.size != (SIDE, SIDE):
                    raise DatasetError(f"{path}: is {image.width} x {image.height} px, not {SIDE} x {SIDE}")
                pixels[place] = np.asarray(image.convert("RGB"))
        except (OSError, UnidentifiedImageError) as error:
            raise DatasetError(f"{path}: cannot be read: {error}") from None
    return LabelledImages(pixels, np.array([label for _, label in files], dtype=np.int64))


CLASSIFICATION_LAYOUTS.register(
    "tiny-imagenet", ClassificationLayout(lambda root: (root / "wnids.txt").is_file(), read_tiny_imagenet)
)
