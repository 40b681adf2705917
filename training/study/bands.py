"""Bands: what every choice of strips is made from, so that all choices see one embedder's same maps."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.mixers import pooling_matrix
from models.network import LKAReID
from models.preprocessing import InputSpec, decode, prepare
from training.augmentation import Augmentation
from training.datasets.image import VehicleImage
from training.features import Features

FINEST = 8


@dataclass(frozen=True)
class Bands:
    """What a frozen embedder says of N images, before strips are made of it.

    Attributes:
        images: the N images.
        descriptors: float32 `[N, d]`, L2-normalised, on the CPU.
        rows: float16 `[N, branches, FINEST, F]`: each branch's map in horizontal bands.
        columns: the same in vertical bands.
        joint: float16 `[N, s, w]`: the strips of the embedder's own head, or None without one.
    """

    images: list[VehicleImage]
    descriptors: Tensor
    rows: Tensor
    columns: Tensor
    joint: Tensor | None

    def features(self, strips: Tensor) -> Features:
        """As features with these strips `[N, s, w]`."""
        return Features(self.images, self.descriptors.numpy(), strips.float().cpu().numpy())


def extract_bands(
    network: LKAReID,
    images: list[VehicleImage],
    spec: InputSpec,
    *,
    batch: int = 64,
    augmentation: Augmentation | None = None,
    source: random.Random | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> Bands:
    """Embed images with a network in evaluation mode, on the device that it is on.

    Args:
        network: the embedder.
        images: what to embed.
        spec: what it wants to see.
        batch: images at a time.
        augmentation: change the images first, drawing from `source`.
        source: of chance, needed with `augmentation`.
        report: called with the number of images done.
    """
    network.eval()
    device = next(network.parameters()).device
    height, width = network.config.map_size
    over_rows = pooling_matrix(height, FINEST).to(device)
    over_columns = pooling_matrix(width, FINEST).to(device)
    descriptors, rows, columns, joint = [], [], [], []
    for start in range(0, len(images), batch):
        decoded = [decode(image.path.read_bytes()) for image in images[start : start + batch]]
        if augmentation is None or source is None:
            pictures = np.stack([prepare(image, spec) for image in decoded])
        else:
            pictures = np.stack([augmentation(image, source) for image in decoded])
        given = torch.from_numpy(pictures).to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            maps = network.maps(given)
            descriptors.append(network.describe(network.pool(maps)).float().cpu())
            if network.strip_head is not None:
                joint.append(network.strip_head(maps).half())
        with torch.inference_mode():
            maps = [branch_map.float() for branch_map in maps]
            rows.append(torch.stack([over_rows @ m.mean(dim=3).transpose(1, 2) for m in maps], 1).half())
            columns.append(
                torch.stack([over_columns @ m.mean(dim=2).transpose(1, 2) for m in maps], 1).half()
            )
        report(min(start + batch, len(images)))
    return Bands(
        images,
        torch.cat(descriptors),
        torch.cat(rows),
        torch.cat(columns),
        torch.cat(joint) if joint else None,
    )
