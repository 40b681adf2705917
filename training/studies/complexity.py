"""What a network costs: multiply-accumulates of one image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.network import LKAReID, NetworkConfig


def multiply_accumulates(config: NetworkConfig) -> int:
    """Multiply-accumulates of embedding one image with a network of this configuration.

    Convolutions and matrix products by torch's own counter, and two for every element that a norm
    scales and shifts, as is usual in the field. Nothing is computed: the network is made on `meta`.
    """
    normed = 0

    def add(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal normed
        normed += output.numel()

    with torch.device("meta"):
        network = LKAReID(config).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
                module.register_forward_hook(add)
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, *config.image_size))
    return int(counter.get_total_flops()) // 2 + 2 * normed
