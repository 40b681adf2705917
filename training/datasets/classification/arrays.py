"""A data set as one .npz file: images_train, labels_train, images_test, labels_test, and maybe classes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from training.datasets.classification import (
    CLASSIFICATION_LAYOUTS,
    ClassificationData,
    ClassificationLayout,
    LabelledImages,
)
from training.datasets.image import DatasetError

WANTED = ("images_train", "labels_train", "images_test", "labels_test")


def read_arrays(path: Path) -> ClassificationData:
    """The arrays of a .npz file; pickled objects in it are refused.

    Raises:
        DatasetError: no such file, arrays are missing, or they do not go together.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [name for name in WANTED if name not in stored]
            if missing:
                raise DatasetError(f"{path}: has no {', '.join(missing)}")
            arrays = {name: np.asarray(stored[name]) for name in WANTED}
            names = stored["classes"].tolist() if "classes" in stored else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
    count = int(max(arrays["labels_train"].max(), arrays["labels_test"].max())) + 1
    classes = tuple(map(str, names if names is not None else range(count)))
    train, test = (
        LabelledImages(arrays[f"images_{part}"], arrays[f"labels_{part}"].astype(np.int64))
        for part in ("train", "test")
    )
    return ClassificationData(path.stem, classes, train, test)


CLASSIFICATION_LAYOUTS.register(
    "npz", ClassificationLayout(lambda path: path.suffix == ".npz" and path.is_file(), read_arrays)
)
