"""Side information (LAI) taken out of a network that is to be served."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.network import LKAReID


def at_mean_viewpoint(network: LKAReID, numbers: Sequence[int]) -> LKAReID:
    """The network without side information that sees every image from the mean training viewpoint.

    A vector that is added to the pooled feature, and is always the same, is part of the neck's mean: what
    is served knows neither cameras nor views, and nothing else has to know of side information.

    Args:
        network: in evaluation mode.
        numbers: viewpoints of the training images.
    """
    if network.side_information is None:
        return network
    known = torch.tensor([number for number in numbers if number >= 0], dtype=torch.long)
    counts = torch.bincount(known, minlength=network.side_information.shape[1]).float()
    means = (counts / max(1, len(numbers))) @ network.side_information.detach().cpu()
    state = {k: v.detach().cpu().clone() for k, v in network.state_dict().items() if k != "side_information"}
    for branch, mean in enumerate(means):
        state[f"heads.{branch}.neck.running_mean"] -= mean
    bare = LKAReID(network.config)
    bare.load_state_dict({k: v for k, v in state.items() if ".classifier." not in k}, strict=True)
    return bare.eval()
