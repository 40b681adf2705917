"""A bundle's descriptors of images, embedded once for all tasks and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import protocols
from models.decoding import ImageError, decode
from models.inputspec import InputSpec
from models.preprocessing import Pixels, prepare
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.retrieval import Change, Side, storage
from training.evaluation.variants import add_flipped

BATCH = 16
ImageChange = Callable[[Image.Image, str], Image.Image]
"""An RGB image and its file's name -> another image; the same two give the same one."""


class Embedder(protocols.Embedder, Protocol):
    """A first stage that says what it takes and gives: `models.runtime.Embedder`."""

    @property
    def input(self) -> InputSpec:
        """What it wants to see."""

    @property
    def descriptor_dim(self) -> int:
        """Length of a descriptor."""

    @property
    def strips(self) -> tuple[int, int] | None:
        """(s, w), or None."""


@dataclass(frozen=True)
class Described:
    """Images with their descriptors.

    Attributes:
        images: N of them.
        descriptors: `[N, d]`, float32, or float16 where there are too many for that.
        strips: float16 `[N, s, w]`, or None.
    """

    images: list[VehicleImage]
    descriptors: NDArray[np.floating]
    strips: NDArray[np.float16] | None

    @property
    def cameras(self) -> NDArray[np.str_]:
        """Camera of each image `[N]`, or what stands for an unknown one."""
        return np.array([image.camera_or_own for image in self.images])

    def side(self, images: list[VehicleImage], change: Change | None = None) -> Side:
        """Some of the images as queries or gallery.

        Raises:
            KeyError: one that was not embedded.
        """
        rows = self._rows
        return Side(
            store=self.descriptors,
            rows=np.array([rows[image.path] for image in images], dtype=np.intp),
            vehicles=np.array([image.vehicle_id for image in images]),
            cameras=np.array([image.camera_or_own for image in images]),
            change=change,
        )

    @property
    def _rows(self) -> dict[Path, int]:
        return {image.path: row for row, image in enumerate(self.images)}


def describe(
    embedder: Embedder,
    images: list[VehicleImage],
    *,
    strips: bool = False,
    batch: int = BATCH,
    report: Callable[[int], None] = lambda _: None,
) -> Described:
    """Embed images, each file once.

    Args:
        embedder: of a bundle.
        images: without repetition.
        strips: whether to keep the strips, where the bundle has any.
        batch: images at a time.
        report: called with the number done.

    Raises:
        DatasetError: an image cannot be read.
    """
    dim = embedder.descriptor_dim
    descriptors = np.empty((len(images), dim), dtype=storage(len(images), dim))
    shape = embedder.strips if strips else None
    kept = np.empty((len(images), *shape), dtype=np.float16) if shape else None
    for rows, inputs in _prepared(embedder.input, images, batch):
        found = embedder.embed(inputs)
        descriptors[rows] = found.descriptors
        if kept is not None and found.strips is not None:
            kept[rows] = found.strips
        report(rows.stop)
    return Described(images, descriptors, kept)


def describe_flipped(
    embedder: Embedder,
    described: Described,
    *,
    batch: int = BATCH,
    report: Callable[[int], None] = lambda _: None,
) -> None:
    """Turn descriptors, in place, into those of flip test-time augmentation.

    Raises:
        DatasetError: an image cannot be read.
    """
    for rows, inputs in _prepared(embedder.input, described.images, batch):
        mirrored = np.ascontiguousarray(inputs[..., ::-1])
        add_flipped(described.descriptors, rows, embedder.embed(mirrored).descriptors)
        report(rows.stop)


def _prepared(spec: InputSpec, images: list[VehicleImage], batch: int) -> Iterator[tuple[slice, Pixels]]:
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        yield slice(start, start + len(part)), np.stack([prepared_image(spec, image) for image in part])


def prepared_image(spec: InputSpec, image: VehicleImage, change: ImageChange | None = None) -> Pixels:
    """An image as an embedder wants to see it, uint8 `[3, H, W]`.

    Args:
        spec: what it wants to see.
        image: to read.
        change: of its pixels, made first.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        pixels = decode(image.path.read_bytes())
    except (ImageError, OSError) as error:
        raise DatasetError(f"{image.place()}: {error}; `lka-reid data check` finds all such images") from None
    return prepare(pixels if change is None else change(pixels, image.path.name), spec)
