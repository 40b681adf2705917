"""A network in torch in the place of a bundle's embedder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.flip import with_flip
from models.inputspec import InputSpec
from models.network import LKAReID
from models.preprocessing import Pixels, normalise
from models.shape import PLAIN, NetworkConfig
from training.checkpoints.pretrained import load_imagenet
from training.checkpoints.weights import weights_hash

IMAGENET_SIDE = 224
"""px, of the images that the published weights were trained on."""


class NetworkEmbeddings(NamedTuple):
    """Descriptors `[B, d]`, and no strips."""

    descriptors: NDArray[np.float32]
    strips: None = None


class NetworkEmbedder:
    """As `training.evaluation` asks for an embedder, on the device that the network is on; descriptors alone.

    Args:
        network: is put into evaluation mode.
        spec: what it wants to see.

    Attributes:
        identity: what its numbers depend on, beside the images: its weights.
    """

    strips = None

    def __init__(self, network: LKAReID, spec: InputSpec) -> None:
        self.input = spec
        self.descriptor_dim = network.config.descriptor_dim
        self.identity = weights_hash(network)
        self._network = network.eval()
        self._device = next(network.parameters()).device
        self._forward = with_flip(self._described) if spec.flip else self._described

    def embed(self, images: Pixels) -> NetworkEmbeddings:
        """Embed prepared images `[B, 3, H, W]`."""
        descriptors, _ = self._forward(images)
        return NetworkEmbeddings(descriptors)

    def _described(self, images: Pixels) -> tuple[NDArray[np.float32], None]:
        with torch.inference_mode():
            descriptors, _ = self._network(torch.from_numpy(normalise(images, self.input)).to(self._device))
        return descriptors.float().cpu().numpy(), None


def imagenet_embedder(weights: Path, side: int = IMAGENET_SIDE) -> NetworkEmbedder:
    """The plain ResNet-50 that published weights are of: the pooled features of its last map.

    Args:
        weights: of the layout `resnet50-v1`.
        side: of the images, px, a multiple of 32.

    Raises:
        WeightsError: the weights do not fit.
    """
    shape = NetworkConfig(branches=PLAIN, ibn=False, v1=True, last_stride=2, image_size=(side, side))
    network = LKAReID(shape)
    load_imagenet(network, weights, layout="resnet50-v1")
    return NetworkEmbedder(network, InputSpec(height=side, width=side))
