"""Image files decoded, prepared and normalised by threads while the network computes the batch before."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from models.decoding import ImageError, decode
from models.inputspec import InputSpec
from models.preprocessing import normalise, prepare
from training.datasets.image import DatasetError, VehicleImage
from training.loading.augmentation import Augmentation, Changes

THREADS = 8


def readers() -> ThreadPoolExecutor:
    """Threads to read image files with."""
    return ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))


def read_image(image: VehicleImage) -> Image.Image:
    """The pixels of an image, RGB.

    Raises:
        DatasetError: it cannot be read; the message names the file.
    """
    try:
        return decode(image.path.read_bytes())
    except (ImageError, OSError) as error:
        raise DatasetError(f"{image.path}: {error}") from None


def prepared(
    images: Sequence[VehicleImage],
    spec: InputSpec,
    batch: int,
    augmentation: Augmentation | None = None,
    source: random.Random | None = None,
) -> Iterator[Tensor]:
    """Batch after batch of the images, `[B, 3, H, W]`, the next one in the making.

    Args:
        images: what to read, in this order.
        spec: what the network wants to see.
        batch: images at a time.
        augmentation: change the images first, drawing from `source`: the same for any number of threads.
        source: random generator, needed with `augmentation`.

    Raises:
        DatasetError: an image cannot be read; the message names the file.
    """
    with readers() as pool:

        def begun(start: int) -> list[Future[NDArray[np.float32]]]:
            part = images[start : start + batch]
            if augmentation is None or source is None:
                return [pool.submit(_prepared, image, spec) for image in part]
            drawn = [augmentation.draw(source) for _ in part]
            change = partial(_changed, augmentation)
            return [pool.submit(change, image, changes) for image, changes in zip(part, drawn, strict=True)]

        ahead = begun(0)
        for start in range(0, len(images), batch):
            ready, ahead = ahead, begun(start + batch)
            yield torch.from_numpy(np.stack([each.result() for each in ready]))


def _prepared(image: VehicleImage, spec: InputSpec) -> NDArray[np.float32]:
    return normalise(prepare(read_image(image), spec), spec)


def _changed(augmentation: Augmentation, image: VehicleImage, changes: Changes) -> NDArray[np.float32]:
    return augmentation.apply(read_image(image), changes)
