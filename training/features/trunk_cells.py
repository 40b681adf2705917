"""A second look at an image: cells of a trunk's map at another size than the descriptor's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from models.bundle import Bundle
from models.inputspec import InputSpec
from models.network import LKAReID
from models.preprocessing import Pixels, normalise
from models.shape import PLAIN, NetworkConfig
from models.strips import PartHead
from models.trunk import Trunk
from training.checkpoints.bundle_weights import load_bundle_weights
from training.checkpoints.pretrained import load_imagenet

GRID = (8, 8)


class Cells(NamedTuple):
    """Descriptors `[B, C]`, the normalised mean of the map, and cells as strips `[B, s, C]`."""

    descriptors: NDArray[np.float32]
    strips: NDArray[np.float16]


class TrunkCells:
    """Stem and stages 1-3 alone, as `training.evaluation` asks for an embedder, computing in bfloat16.

    Args:
        trunk: of a network for images of this size.
        side: of the images, px, a multiple of 128.
        grid: (rows, columns) of the cells; they run column by column.
    """

    def __init__(self, trunk: Trunk, side: int, grid: tuple[int, int] = GRID) -> None:
        self.input = InputSpec(height=side, width=side)
        self.descriptor_dim = trunk.channels
        self.strips = (grid[0] * grid[1], trunk.channels)
        self._trunk = trunk.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._pool = PartHead(trunk.channels, (side // 16, side // 16), grid, 1)

    def embed(self, images: Pixels) -> Cells:
        """Embed prepared images `[B, 3, H, W]`."""
        inputs = torch.from_numpy(normalise(images, self.input)).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            with torch.autocast("cpu", torch.bfloat16):
                shared = self._trunk(inputs)
            (cells,) = self._pool.pool([shared.float()])
            mean = F.normalize(shared.float().mean(dim=(2, 3)), dim=1)
        return Cells(mean.numpy(), cells.half().numpy())


def bundle_trunk(bundle: Bundle, side: int) -> Trunk:
    """The trunk of a bundle's embedder.

    Raises:
        WeightsError: its file does not hold the network that its manifest describes.
    """
    shape = replace(NetworkConfig.from_dict(bundle.manifest.network), image_size=(side, side))
    network = LKAReID(shape)
    load_bundle_weights(network, bundle.embedder)
    return _checked(network)


def imagenet_trunk(weights: Path, side: int) -> Trunk:
    """The trunk of published weights of the layout `resnet50-v1`.

    Raises:
        WeightsError: the weights do not fit.
    """
    network = LKAReID(
        NetworkConfig(branches=PLAIN, ibn=False, v1=True, last_stride=2, image_size=(side, side))
    )
    load_imagenet(network, weights, layout="resnet50-v1")
    return _checked(network)


def _checked(network: LKAReID) -> Trunk:
    if not isinstance(network.trunk, Trunk):
        raise ValueError("a second look takes the map of a convolutional trunk; this network has a ViT")
    return network.trunk
