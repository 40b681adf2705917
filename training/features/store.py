"""Features on disk, memory-mapped: computed once by a frozen embedder, read by everything that re-ranks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.atomic import write_json
from training.datasets.image import VehicleImage
from training.features.extract import Features

DESCRIPTORS = "descriptors.npy"
STRIPS = "strips.npy"
IMAGES = "images.json"


class FeatureStoreError(ValueError):
    """The folder holds no features, or other ones than were asked for."""


def save_features(folder: Path, features: Features, provenance: dict[str, Any]) -> None:
    """Write features into a folder; the list of images is written last and marks it as whole.

    Args:
        folder: is made.
        features: to keep; strips are kept as float16, as galleries keep them.
        provenance: what they depend on (embedder, input, data), of JSON types.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / IMAGES).unlink(missing_ok=True)
    np.save(folder / DESCRIPTORS, features.descriptors.astype(np.float32), allow_pickle=False)
    if features.strips is not None:
        np.save(folder / STRIPS, features.strips.astype(np.float16), allow_pickle=False)
    write_images(folder, features.images, provenance, strips=features.strips is not None)


def write_images(
    folder: Path, images: Sequence[VehicleImage], provenance: dict[str, Any], *, strips: bool
) -> None:
    """Write the list of images, which marks the features in a folder as whole."""
    rows = [
        {
            "path": str(image.path),
            "vehicle_id": image.vehicle_id,
            "camera_id": image.camera_id,
            "vehicle_type": image.vehicle_type,
        }
        for image in images
    ]
    write_json(folder / IMAGES, {"provenance": provenance, "strips": strips, "images": rows})


def features_exist(folder: Path) -> bool:
    """Whether whole features lie in the folder."""
    return (folder / IMAGES).is_file()


def open_features(folder: Path, provenance: dict[str, Any] | None = None) -> Features:
    """The features in a folder; descriptors and strips stay on disk until they are read.

    Args:
        folder: as `save_features` wrote it.
        provenance: refuse features that depend on something else; None takes any.

    Raises:
        FeatureStoreError: nothing is there, it is damaged, or it depends on something else.
    """
    try:
        note = json.loads((folder / IMAGES).read_text(encoding="utf-8"))
        descriptors = np.load(folder / DESCRIPTORS, mmap_mode="r", allow_pickle=False)
        strips = np.load(folder / STRIPS, mmap_mode="r", allow_pickle=False) if note["strips"] else None
        images = [VehicleImage(**{**row, "path": Path(row["path"])}) for row in note["images"]]
    except FileNotFoundError as error:
        raise FeatureStoreError(f"{folder} holds no whole features: {error.filename} is missing") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FeatureStoreError(f"{folder} is damaged ({error}); remove it and compute it anew") from None
    if provenance is not None and note["provenance"] != provenance:
        raise FeatureStoreError(
            f"{folder} was made by another embedder or data; remove it or use another folder"
        )
    if len(descriptors) != len(images) or (strips is not None and len(strips) != len(images)):
        raise FeatureStoreError(
            f"{folder} is damaged: {len(descriptors)} descriptors of {len(images)} images"
        )
    return Features(images, descriptors, strips)
