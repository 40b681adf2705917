"""MixStyle: maps of the trunk take on some of another image's statistics (Zhou et al., ICLR 2021).

Mean and deviation of a channel over its map say much of the camera and little of the vehicle. Mixed between
the images of a batch they make styles that no camera of the training has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from models.trunk import Trunk
from training.readback import sent

STAGES = ("layer1", "layer2")
"""After which maps are mixed, as published."""
CONCENTRATION = 0.1
"""Of the Beta distribution of the shares, as published: mostly one image's style, or the other's."""


def with_mixed_styles(maps: Tensor) -> Tensor:
    """`[B, C, H, W]` -> the same, each image with a style between its own and another one's, drawn by torch.

    Gradients do not flow through means and deviations, as published.
    """
    deviation, mean = torch.std_mean(maps.detach(), dim=(2, 3), keepdim=True, correction=0)
    deviation = deviation + 1e-6
    share = torch.distributions.Beta(CONCENTRATION, CONCENTRATION).sample((len(maps), 1, 1, 1))
    share = sent(share.to(maps.dtype), maps.device)
    other = sent(torch.randperm(len(maps)), maps.device)
    mixed = (maps - mean) / deviation * torch.lerp(deviation[other], deviation, share)
    return mixed + torch.lerp(mean[other], mean, share)


def mix_styles(trunk: Trunk, probability: float) -> list[RemovableHandle]:
    """Mix the styles of that share of the batches behind the trunk's first stages while it trains.

    Weights and exports know nothing of it.

    Returns:
        What ends it.
    """

    def mix(stage: nn.Module, _: object, maps: Tensor) -> Tensor:
        if not stage.training or torch.rand(()).item() >= probability:
            return maps
        return with_mixed_styles(maps)

    return [trunk.get_submodule(name).register_forward_hook(mix) for name in STAGES]
