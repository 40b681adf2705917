"""Images prepared by threads: the same ones, in the same order, whatever the number of threads."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from models.inputspec import InputSpec
from models.preprocessing import normalise, prepare
from training.config.embedder import AugmentationConfig
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.loading import images as loading_images
from training.loading.augmentation import Augmentation
from training.loading.images import prepared, read_image

SPEC = InputSpec(height=24, width=32)


@pytest.fixture
def images(tree: Path) -> list[VehicleImage]:
    return read_manifest(tree)


def test_batches_follow_the_order_of_the_images_and_the_last_may_be_short(images: list[VehicleImage]) -> None:
    found = list(prepared(images[:7], SPEC, 3))
    assert [len(batch) for batch in found] == [3, 3, 1]
    expected = normalise(np.stack([prepare(read_image(image), SPEC) for image in images[:7]]), SPEC)
    assert torch.equal(torch.cat(found), torch.from_numpy(expected))


@pytest.mark.parametrize("threads", [1, 5])
def test_changes_are_drawn_in_order_whatever_the_threads(
    images: list[VehicleImage], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading_images, "THREADS", threads)
    augmentation = Augmentation(SPEC, AugmentationConfig(crop=0.2, colour=0.3, shrink=0.5, erase=0.5))
    source = random.Random(3)
    expected = [augmentation(read_image(image), source) for image in images[:8]]
    found = torch.cat(list(prepared(images[:8], SPEC, 3, augmentation, random.Random(3))))
    assert torch.equal(found, torch.from_numpy(np.stack(expected)))


def test_no_images_make_no_batches() -> None:
    assert list(prepared([], SPEC, 3)) == []


def test_an_image_that_cannot_be_read_is_named(images: list[VehicleImage], tmp_path: Path) -> None:
    path = tmp_path / "cut-short.jpg"
    path.write_bytes(images[1].path.read_bytes()[:200])
    broken = VehicleImage(path, "7", "c1")
    with pytest.raises(DatasetError, match=r"cut-short\.jpg: "):
        list(prepared([images[0], broken], SPEC, 2))
