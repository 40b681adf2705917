"""The plain convolution."""

from __future__ import annotations

from torch import nn

from models.mixers import MIXERS, Mixer


class Conv(nn.Conv2d):
    """The bottleneck's own 3x3 convolution, stride 1 (the `conv` mixer of the MBR baseline)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, bias=False)


MIXERS.register("conv", Mixer(lambda channels, _: Conv(channels), pretrained=True))
