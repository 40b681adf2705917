"""Data sets of image classification in their published layouts, a file each: small images in memory.

Each file in this folder registers its layout in `CLASSIFICATION_LAYOUTS`; nothing else names one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.registry import Registry
from training.datasets.image import DatasetError

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size with their classes.

    Attributes:
        pixels: `[N, H, W, 3]`, RGB.
        labels: `[N]`, from 0.
    """

    pixels: Pixels
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ClassificationData:
    """A data set of image classification.

    Attributes:
        name: of the layout.
        classes: their names.
        train: to learn from.
        test: to measure on.

    Raises:
        DatasetError: images and labels that do not go together.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages

    def __post_init__(self) -> None:
        for part, images in (("training", self.train), ("test", self.test)):
            pixels, labels = images.pixels, images.labels
            if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8 or not len(pixels):
                found = f"{pixels.dtype} {pixels.shape}"
                raise DatasetError(f"{self.name}: {part} images must be bytes [N, H, W, 3], not {found}")
            if labels.shape != (len(pixels),):
                raise DatasetError(f"{self.name}: {len(pixels)} {part} images and {labels.shape} labels")
            if labels.min() < 0 or labels.max() >= len(self.classes):
                raise DatasetError(
                    f"{self.name}: {part} labels go from {labels.min()} to {labels.max()}, and there are "
                    f"{len(self.classes)} classes"
                )
        if self.train.pixels.shape[1:] != self.test.pixels.shape[1:]:
            raise DatasetError(f"{self.name}: training and test images have different sizes")

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in px."""
        height, width = self.train.pixels.shape[1:3]
        return int(height), int(width)

    def record(self) -> dict[str, Any]:
        """What a report says of it: name, numbers, and the hash of pixels and labels."""
        digest = hashlib.sha256()
        for images in (self.train, self.test):
            digest.update(np.ascontiguousarray(images.pixels).data)
            digest.update(np.ascontiguousarray(images.labels).data)
        return {
            "name": self.name,
            "classes": len(self.classes),
            "images": len(self.train),
            "test_images": len(self.test),
            "sha256": digest.hexdigest(),
        }


@dataclass(frozen=True)
class ClassificationLayout:
    """How a data set lies on disk.

    Attributes:
        recognises: whether a path looks like it.
        read: the data set; a DatasetError where it is damaged.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path], ClassificationData]


CLASSIFICATION_LAYOUTS: Registry[ClassificationLayout] = Registry("layout of a classification set")


def open_classification(path: Path) -> ClassificationData:
    """Read a data set, recognised by its files.

    Raises:
        DatasetError: it is not there, of no known layout, or damaged.
    """
    if not path.exists():
        raise DatasetError(f"{path}: is not there")
    for layout in CLASSIFICATION_LAYOUTS.values():
        if layout.recognises(path):
            return layout.read(path)
    raise DatasetError(f"{path}: is of no layout that is known; there are {CLASSIFICATION_LAYOUTS.names}")


CLASSIFICATION_LAYOUTS.import_folder(__name__, __path__)
