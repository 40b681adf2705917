"""Kept features: embedded once, gone on with where they were broken off, made anew where anything differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from models.inputspec import InputSpec
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.descriptors import BATCH
from training.evaluation.shift.embedding import ImageSet, KeptEmbedder
from training.evaluation.shift.virtual_cameras import VIRTUAL_CAMERAS

COUNT = 2 * BATCH + 3


class Embeddings(NamedTuple):
    descriptors: np.ndarray
    strips: np.ndarray | None


class Colours:
    """Mean colours as descriptors; breaks off after some images if wanted."""

    input = InputSpec(height=8, width=8)
    descriptor_dim = 3
    strips = (1, 2)

    def __init__(self, break_after: int = 10**9) -> None:
        self.left = break_after
        self.embedded = 0

    def embed(self, images: np.ndarray) -> Embeddings:
        if self.left < len(images):
            raise KeyboardInterrupt
        self.left -= len(images)
        self.embedded += len(images)
        means = images.mean(axis=(2, 3))
        return Embeddings(means, np.repeat(means[:, None, :2], 1, axis=1).astype(np.float16))


class Progress:
    def __init__(self) -> None:
        self.counts: list[int] = []

    def start(self, name: str, total: int) -> Callable[[int], None]:  # noqa: ARG002 - a protocol's signature
        return self.counts.append


@pytest.fixture
def images(tmp_path: Path) -> list[VehicleImage]:
    found = []
    for number in range(COUNT):
        path = tmp_path / f"{number:02}.png"
        Image.new("RGB", (9, 12), (number * 6, 40, 255 - number)).save(path)
        found.append(VehicleImage(path, f"v{number}", "c1"))
    return found


def kept(
    folder: Path, embedder: Colours, identity: str = "one", progress: Progress | None = None
) -> KeptEmbedder:
    return KeptEmbedder(embedder, identity, folder / "kept", progress or Progress(), strips=True)


def test_images_are_embedded_once(tmp_path: Path, images: list[VehicleImage]) -> None:
    embedder = Colours()
    first = kept(tmp_path, embedder).embedded(ImageSet("seen", images))
    again = kept(tmp_path, embedder).embedded(ImageSet("seen", images))
    assert embedder.embedded == COUNT
    assert first.images == images
    assert np.array_equal(first.descriptors, again.descriptors)
    assert first.strips is not None
    assert np.array_equal(np.asarray(first.strips)[:, 0], first.descriptors[:, :2].astype(np.float16))


def test_what_was_broken_off_is_gone_on_with_to_the_same_numbers(
    tmp_path: Path, images: list[VehicleImage]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path, Colours(BATCH + 1)).embedded(ImageSet("seen", images))
    rest, progress = Colours(), Progress()
    found = kept(tmp_path, rest, progress=progress).embedded(ImageSet("seen", images))
    assert rest.embedded == COUNT - BATCH
    assert progress.counts[0] == BATCH
    assert progress.counts[-1] == COUNT
    whole = kept(tmp_path / "other", Colours()).embedded(ImageSet("seen", images))
    assert np.array_equal(found.descriptors, whole.descriptors)
    assert found.strips is not None
    assert whole.strips is not None
    assert np.array_equal(found.strips, whole.strips)


def test_a_cut_file_of_what_was_broken_off_is_made_anew(tmp_path: Path, images: list[VehicleImage]) -> None:
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path, Colours(BATCH)).embedded(ImageSet("seen", images))
    (path,) = (tmp_path / "kept").glob("*/descriptors.npy")
    path.write_bytes(path.read_bytes()[:-8])
    anew = Colours()
    kept(tmp_path, anew).embedded(ImageSet("seen", images))
    assert anew.embedded == COUNT


def test_other_pixels_cameras_changes_or_embedders_are_embedded_anew(
    tmp_path: Path, images: list[VehicleImage]
) -> None:
    embedder = Colours()
    kept(tmp_path, embedder).embedded(ImageSet("seen", images))
    for number, wanted in enumerate(
        [
            ImageSet("seen", images[1:]),
            ImageSet("seen", [replace(image, camera_id="c2") for image in images]),
            ImageSet("seen", images, VIRTUAL_CAMERAS[0].see),
            ImageSet("seen", images, replace(VIRTUAL_CAMERAS[0], stops=-0.9).see),
        ]
    ):
        before = embedder.embedded
        kept(tmp_path, embedder).embedded(wanted)
        assert embedder.embedded == before + len(wanted.images), number
    other = Colours()
    kept(tmp_path, other, "two").embedded(ImageSet("seen", images))
    assert other.embedded == COUNT
    Image.new("RGB", (9, 12), (1, 2, 3)).save(images[0].path)
    kept(tmp_path, other, "two").embedded(ImageSet("seen", images))
    assert other.embedded == 2 * COUNT


def test_the_change_sees_pixels_and_the_files_name(tmp_path: Path, images: list[VehicleImage]) -> None:
    names = []

    def black(image: Image.Image, name: str) -> Image.Image:
        names.append(name)
        return Image.new("RGB", image.size)

    found = kept(tmp_path, Colours()).embedded(ImageSet("seen", images, black))
    assert len(np.unique(found.descriptors, axis=0)) == 1
    assert [name for name in names if name != "card"] == [image.path.name for image in images]


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, images: list[VehicleImage]) -> None:
    images[3].path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"03\.png"):
        kept(tmp_path, Colours()).embedded(ImageSet("seen", images))
    images[5].path.unlink()
    with pytest.raises(DatasetError, match=r"05\.png"):
        kept(tmp_path, Colours()).embedded(ImageSet("seen", images))
