"""Side information (LAI) taken out of a network that is to be served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from models.network import LKAReID
from training.checkpoints.weights import WeightsError, load_embedder, load_viewpoints
from training.datasets.viewpoints import Viewpoints


def load_served(path: Path, image_size: tuple[int, int] | None = None) -> LKAReID:
    """An embedder's weights as they are served: in evaluation mode, without side information.

    Args:
        path: of the weights.
        image_size: (height, width) in px that it is served at; None for the size that it was trained at.

    Raises:
        WeightsError: no such file, not an embedder, or one whose weights belong to one size of image.
    """
    viewpoints = load_viewpoints(path)
    network = load_embedder(path)
    try:
        return as_served(network, viewpoints, image_size or network.config.image_size)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def as_served(network: LKAReID, viewpoints: Viewpoints | None, image_size: tuple[int, int]) -> LKAReID:
    """A network as it is served: of this (height, width) in px, without side information.

    Raises:
        WeightsError: its weights belong to one size of image.
    """
    try:
        network = network.with_image_size(image_size)
    except RuntimeError as error:
        raise WeightsError(
            f"cannot be served at {image_size[0]} x {image_size[1]} px: {error}; leave bundle.image_size out"
        ) from None
    return network if viewpoints is None else at_mean_viewpoint(network, viewpoints.shares)


def at_mean_viewpoint(network: LKAReID, shares: Sequence[float]) -> LKAReID:
    """The network without side information that sees every image from the mean training viewpoint.

    A vector that is added to the pooled feature, and is always the same, is part of the neck's mean: what
    is served knows neither cameras nor views, and nothing else has to know of side information.

    Args:
        network: in evaluation mode.
        shares: of the training images that have each viewpoint, 0..1.
    """
    if network.side_information is None:
        return network
    means = torch.tensor(shares) @ network.side_information.detach().cpu()
    state = {k: v.detach().cpu().clone() for k, v in network.state_dict().items() if k != "side_information"}
    for branch, mean in enumerate(means):
        state[f"heads.{branch}.neck.running_mean"] -= mean
    bare = LKAReID(network.config)
    bare.load_state_dict({k: v for k, v in state.items() if ".classifier." not in k}, strict=True)
    return bare.eval()
