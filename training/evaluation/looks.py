"""Where an embedder's branches look on an image, and how much of that lies on a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.inputspec import InputSpec
from models.mixers import Attending
from models.network import LKAReID
from models.preprocessing import normalise
from models.trunk import Bottleneck
from training.datasets.image import VehicleImage
from training.evaluation.descriptors import BATCH, ImageChange, prepared_image

Floats = NDArray[np.float64]


class NoAttentionError(Exception):
    """A branch whose mixer has no attention that differs from image to image; the message names it."""


@dataclass(frozen=True)
class Looks:
    """Of N images; each map sums to 1.

    Attributes:
        attention: `[N, branches, h, w]`, of the mixer of each branch's last bottleneck: what its
            `attention_map` says.
        activation: `[N, branches, h, w]`, the mean over the channels of each branch's last map: how much of
            what is pooled into the descriptor comes from a place.
    """

    attention: Floats
    activation: Floats


def looks(
    network: LKAReID, spec: InputSpec, images: Sequence[VehicleImage], change: ImageChange | None = None
) -> Looks:
    """Where the branches of an embedder in evaluation mode look.

    Args:
        network: without a ViT.
        spec: what it wants to see.
        images: to look at.
        change: of each image's pixels, or None.

    Raises:
        NoAttentionError: a branch has none.
        DatasetError: an image cannot be read.
    """
    mixers = [_mixer(network, number) for number in range(len(network.branches))]
    inputs: list[torch.Tensor] = []
    hooks = [mixer.register_forward_pre_hook(lambda _, given: inputs.append(given[0])) for mixer in mixers]
    attention, activation = [], []
    device = next(network.parameters()).device
    try:
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            pixels = np.stack([prepared_image(spec, image, change) for image in part])
            inputs.clear()
            with torch.inference_mode():
                maps = network.maps(torch.from_numpy(normalise(pixels, spec)).to(device))
                seen = [mixer.attention_map(x) for mixer, x in zip(mixers, inputs, strict=True)]
            attention.append(_shares(seen))
            activation.append(_shares([each.mean(dim=1) for each in maps]))
    finally:
        for hook in hooks:
            hook.remove()
    return Looks(np.concatenate(attention), np.concatenate(activation))


def _mixer(network: LKAReID, number: int) -> Attending:
    """That of the branch's last bottleneck; the branches of a ViT have none."""
    found = [module for module in network.branches[number].modules() if isinstance(module, Bottleneck)]
    mixer = found[-1].conv2 if found else None
    if not isinstance(mixer, Attending):
        name = network.config.branches[number].mixer
        raise NoAttentionError(
            f"branch {number + 1} has the mixer {name!r}, which has no attention of its own for each image"
        )
    return mixer


def _shares(maps: Sequence[torch.Tensor]) -> Floats:
    """Maps `[B, h, w]` of the branches -> `[B, branches, h, w]`, each of sum 1; one of nothing is even."""
    found: Floats = torch.stack(list(maps), dim=1).double().cpu().numpy()
    found = found + np.finfo(np.float64).tiny
    shares: Floats = found / found.sum(axis=(2, 3), keepdims=True)
    return shares


def share_within(maps: Floats, boxes: Floats) -> Floats:
    """How much of each map lies in a box.

    Args:
        maps: `[N, branches, h, w]`, each of sum 1. A place is even within itself.
        boxes: `[N, 4]`: left, top, right and bottom, as shares of the image's width and height.

    Returns:
        `[N, branches]`, from 0 to 1.
    """
    rows = _overlap(boxes[:, 1], boxes[:, 3], maps.shape[2])
    columns = _overlap(boxes[:, 0], boxes[:, 2], maps.shape[3])
    within: Floats = np.einsum("nbhw,nh,nw->nb", maps, rows, columns)
    return within


def _overlap(start: Floats, end: Floats, count: int) -> Floats:
    """How much of each of `count` equal parts of 0..1 lies between start and end `[N]`: `[N, count]`."""
    edges = np.arange(count + 1) / count
    low = np.maximum(start[:, None], edges[:-1])
    high = np.minimum(end[:, None], edges[1:])
    overlap: Floats = np.maximum(high - low, 0) * count
    return overlap
