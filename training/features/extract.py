"""Descriptors and strips of a set of images, computed once and kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.flip import mean_direction
from models.inputspec import InputSpec
from models.network import LKAReID
from training.datasets.image import VehicleImage
from training.loading.augmentation import Augmentation
from training.loading.images import prepared


@dataclass(frozen=True)
class Features:
    """What an embedder says of N images.

    Attributes:
        images: the N images.
        descriptors: float32 `[N, d]`, L2-normalised.
        strips: float32 `[N, s, w]`, or None without strips.
    """

    images: list[VehicleImage]
    descriptors: NDArray[np.float32]
    strips: NDArray[np.float32] | None

    @property
    def vehicles(self) -> NDArray[np.str_]:
        """Vehicle of each image, `[N]`."""
        return np.array([image.vehicle_id for image in self.images])

    @property
    def cameras(self) -> NDArray[np.str_]:
        """Camera of each image, `[N]`."""
        return np.array([image.camera_id for image in self.images])

    def select(self, positions: NDArray[np.integer]) -> Features:
        """The images at these positions."""
        return Features(
            [self.images[i] for i in positions],
            self.descriptors[positions],
            self.strips[positions] if self.strips is not None else None,
        )


def extract(
    network: LKAReID,
    images: list[VehicleImage],
    *,
    batch: int = 32,
    bf16: bool = False,
    augmentation: Augmentation | None = None,
    source: random.Random | None = None,
    spec: InputSpec | None = None,
    viewpoints: Sequence[int] | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> Features:
    """Embed images with a network in evaluation mode, on the device that it is on.

    Args:
        network: the embedder.
        images: what to embed.
        batch: images at a time.
        bf16: mixed precision in bfloat16.
        augmentation: change the images first, drawing from `source`.
        source: random generator, needed with `augmentation`.
        spec: what the network wants to see; None for its image size and ImageNet's mean and std.
        viewpoints: of the images, for side information; None for none.
        report: called with the number of images done.

    Raises:
        DatasetError: an image cannot be read; the message names the file.
    """
    network.eval()
    height, width = network.config.image_size
    spec = spec or InputSpec(height=height, width=width)
    device = next(network.parameters()).device
    descriptors, strips = [], []
    done = 0
    for inputs in prepared(images, spec, batch, augmentation, source):
        viewpoint = None
        if viewpoints is not None:
            viewpoint = torch.tensor(viewpoints[done : done + len(inputs)], device=device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            descriptor, tokens = network(inputs.to(device), viewpoint)
            mirrored = network(inputs.to(device).flip(-1), viewpoint)[0] if spec.flip else None
        found = descriptor.float().cpu().numpy()
        if mirrored is not None:
            found = mean_direction(found, mirrored.float().cpu().numpy())
        descriptors.append(found)
        if tokens is not None:
            strips.append(tokens.float().cpu().numpy())
        done += len(inputs)
        report(done)
    return Features(images, np.concatenate(descriptors), np.concatenate(strips) if strips else None)
