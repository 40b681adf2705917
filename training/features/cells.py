"""Cells: the grid of the trunk's map that parts are made from, without the branches behind it."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

from models.network import LKAReID
from models.strips import PartHead
from training.datasets.image import VehicleImage
from training.loading.augmentation import Augmentation
from training.loading.images import prepared


def view_cells(
    network: LKAReID,
    head: PartHead,
    images: list[VehicleImage],
    views: int,
    augmentation: Augmentation,
    source: random.Random,
    *,
    batch: int = 64,
    bf16: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> list[Tensor]:
    """Cells of the images as they are, and of `views` changed copies of each.

    Args:
        network: the embedder, on the device that it is on.
        head: of the grid, on the same device.
        images: N images.
        views: changed copies of each image.
        augmentation: changes the copies, and says what the network wants to see.
        source: of the changes.
        batch: images at a time.
        bf16: run the trunk under bfloat16 autocast.
        report: called with the number of images and copies done.

    Returns:
        float16 `[N, rows * columns, C]` of each view, column by column, on the network's device.

    Raises:
        DatasetError: an image cannot be read; the message names the file.
    """
    network.eval()
    device = next(network.parameters()).device
    found = []
    for view in range(views + 1):
        done, parts = view * len(images), []
        change = augmentation if view else None
        for inputs in prepared(images, augmentation.spec, batch, change, source):
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                (cells,) = head.pool([network.trunk(inputs.to(device)).float()])
            parts.append(cells.half())
            done += len(inputs)
            report(done)
        found.append(torch.cat(parts))
    return found
