"""Sets of images embedded once and kept: what depends on the same embedder and pixels is not made again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.descriptors import BATCH, Embedder, ImageChange, prepared_image
from training.evaluation.protocol import Progress
from training.features.extract import Features
from training.features.growing import GrowingFeatures
from training.features.store import features_exist, open_features


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images to embed, as they are or changed.

    Attributes:
        name: of the set, for its folder and its progress bar.
        images: what to embed, their cameras being those that they seem to come from.
        change: of each image's pixels, or None.
    """

    name: str
    images: Sequence[VehicleImage]
    change: ImageChange | None = None


class KeptEmbedder:
    """An embedder that keeps what it has embedded in a folder.

    Args:
        embedder: of a bundle, or a network in its place.
        identity: what its numbers depend on: fingerprint and runtime, or a hash of its weights.
        folder: for all sets; a set's own is named after it and a digest of all that it depends on.
        progress: receives how far the work is.
        strips: whether to keep strips, where the embedder makes any.
    """

    def __init__(
        self, embedder: Embedder, identity: str, folder: Path, progress: Progress, *, strips: bool = False
    ) -> None:
        self._embedder = embedder
        self._identity = identity
        self._folder = folder
        self._progress = progress
        self._strips = embedder.strips if strips else None

    def embedded(self, wanted: ImageSet) -> Features:
        """A set's features; descriptors and strips stay on disk until they are read.

        Raises:
            DatasetError: an image cannot be read.
            FeatureStoreError: what is there is damaged.
        """
        provenance = self._provenance(wanted)
        folder = self._folder / f"{re.sub('[^a-z0-9]+', '-', wanted.name)}-{_digest(provenance)[:12]}"
        if not features_exist(folder):
            self._embed(wanted, folder, provenance)
        return open_features(folder, provenance)

    def _embed(self, wanted: ImageSet, folder: Path, provenance: dict[str, Any]) -> None:
        images = list(wanted.images)
        growing = GrowingFeatures(folder, images, self._embedder.descriptor_dim, self._strips, provenance)
        report = self._progress.start(f"Embedding {wanted.name}", len(images))
        report(growing.done)
        while growing.done < len(images):
            part = images[growing.done : growing.done + BATCH]
            inputs = np.stack([prepared_image(self._embedder.input, each, wanted.change) for each in part])
            found = self._embedder.embed(inputs)
            growing.write(found.descriptors, found.strips)
            report(growing.done)
        growing.finish()

    def _provenance(self, wanted: ImageSet) -> dict[str, Any]:
        return {
            "embedder": self._identity,
            "input": self._embedder.input.model_dump(mode="json"),
            "strips": list(self._strips) if self._strips is not None else None,
            "images": content_hash(wanted.images),
            "change": None if wanted.change is None else _effect(wanted.change),
        }


def content_hash(images: Iterable[VehicleImage]) -> str:
    """SHA-256 of the images' files and of what is said of them, whatever their folder.

    Raises:
        DatasetError: a file cannot be read.
    """
    found = hashlib.sha256()
    for image in images:
        found.update(f"{image.path.name}\t{image.vehicle_id}\t{image.camera_id}\t".encode())
        try:
            found.update(hashlib.sha256(image.path.read_bytes()).digest())
        except OSError as error:
            raise DatasetError(f"{image.place()}: {error}") from None
    return found.hexdigest()


def _effect(change: ImageChange) -> str:
    """What a change does to a test card, hashed: another setting of it, or another codec, shows."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 3)).astype(np.uint8)
    card = Image.fromarray(pixels).resize((100, 120), Image.Resampling.NEAREST)
    shown = change(card, "card")
    return hashlib.sha256(f"{shown.size}".encode() + shown.tobytes()).hexdigest()


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
