"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their published binary version.

cifar-10-batches-bin/   data_batch_1.bin ... data_batch_5.bin, test_batch.bin, batches.meta.txt: an image is a
                        byte for its class and 3,072 for its planes of red, green and blue
cifar-100-binary/       train.bin, test.bin, fine_label_names.txt: a byte for the coarse class comes first

The version for Python is pickled, which can run code: it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.intake.files import reason_of
from training.datasets.classification import (
    CLASSIFICATION_LAYOUTS,
    ClassificationData,
    ClassificationLayout,
    LabelledImages,
)
from training.datasets.files import require, rows
from training.datasets.image import DatasetError

SIDE = 32
PLANES = 3 * SIDE * SIDE
PICKLED = ("data_batch_1", "train")


def read_cifar10(root: Path) -> ClassificationData:
    """CIFAR-10; see the module."""
    parts = [f"data_batch_{number}.bin" for number in range(1, 6)]
    _refuse_pickles(root, "cifar-10-binary.tar.gz")
    require(root, "CIFAR-10", [*parts, "test_batch.bin", "batches.meta.txt"])
    classes = _names(root / "batches.meta.txt")
    train = _read([root / part for part in parts], 1)
    return ClassificationData("cifar10", classes, train, _read([root / "test_batch.bin"], 1))


def read_cifar100(root: Path) -> ClassificationData:
    """CIFAR-100 with its fine classes; see the module."""
    _refuse_pickles(root, "cifar-100-binary.tar.gz")
    require(root, "CIFAR-100", ["train.bin", "test.bin", "fine_label_names.txt"])
    classes = _names(root / "fine_label_names.txt")
    train, test = (_read([root / f"{part}.bin"], 2) for part in ("train", "test"))
    return ClassificationData("cifar100", classes, train, test)


def _refuse_pickles(root: Path, better: str) -> None:
    if not list(root.glob("*.bin")) and any((root / name).is_file() for name in PICKLED):
        raise DatasetError(
            f"{root}: is the version for Python, pickled files, which can run code; take the binary version, "
            f"{better}"
        )


def _names(path: Path) -> tuple[str, ...]:
    return tuple(text for _, text, _ in rows(path))


def _read(paths: Sequence[Path], labels: int) -> LabelledImages:
    """Images of several files, each with so many bytes of labels before it, the last of which counts."""
    size = labels + PLANES
    found = []
    for path in paths:
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:
            raise DatasetError(f"{path}: {reason_of(error)}") from None
        if not len(data) or len(data) % size:
            raise DatasetError(f"{path}: {len(data)} bytes are no whole images of {size}; fetch it again")
        found.append(data.reshape(-1, size))
    records = np.concatenate(found)
    planes = records[:, labels:].reshape(-1, 3, SIDE, SIDE)
    return LabelledImages(
        np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, labels - 1].astype(np.int64)
    )


def _is_cifar10(root: Path) -> bool:
    return any((root / name).is_file() for name in ("data_batch_1.bin", "batches.meta.txt", "data_batch_1"))


def _is_cifar100(root: Path) -> bool:
    return any((root / name).is_file() for name in ("train.bin", "fine_label_names.txt", "train"))


CLASSIFICATION_LAYOUTS.register("cifar10", ClassificationLayout(_is_cifar10, read_cifar10))
CLASSIFICATION_LAYOUTS.register("cifar100", ClassificationLayout(_is_cifar100, read_cifar100))
