"""What a network costs: multiply-accumulates of one image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.network import LKAReID
from models.shape import NetworkConfig


def multiply_accumulates(config: NetworkConfig) -> int:
    """Multiply-accumulates of embedding one image with a network of this configuration; see `counted`."""
    with torch.device("meta"):
        return counted(LKAReID(config), config.image_size)


def counted(network: nn.Module, image_size: tuple[int, int]) -> int:
    """Multiply-accumulates of one image `[3, H, W]`.

    Convolutions and matrix products by torch's own counter, and two for every element that a norm
    scales and shifts, as is usual in the field. Nothing is computed.

    Args:
        network: made on the device `meta`; put into evaluation mode.
        image_size: (height, width) in px.
    """
    normed = 0

    def add(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal normed
        normed += output.numel()

    for module in network.eval().modules():
        if isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d | nn.LayerNorm):
            module.register_forward_hook(add)
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, *image_size, device="meta"))
    return int(counter.get_total_flops()) // 2 + 2 * normed
