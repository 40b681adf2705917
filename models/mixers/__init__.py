"""Mixers: what stands in the place of a stage-4 bottleneck's 3x3 convolution, a file each.

Every mixer maps a feature map `[B, C, H, W]` to one of the same shape. Each file in this folder registers its
own in `MIXERS`; nothing else names a mixer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from models.registry import Registry


@dataclass(frozen=True)
class Mixer:
    """How a mixer is made, and what it needs of its surroundings.

    Attributes:
        make: from the channels C and the size (H, W) of the maps that it will see.
        shortcut_bias: whether the projecting shortcut of its branch has a bias (Table II's parameter counts).
        pretrained: whether it is ResNet's own 3x3 convolution, and takes its published weights.
    """

    make: Callable[[int, tuple[int, int]], nn.Module]
    shortcut_bias: bool = False
    pretrained: bool = False


class Attending(nn.Module):
    """A mixer whose attention differs from image to image."""

    def attention_map(self, x: Tensor) -> Tensor:
        """How much is looked at each place of the maps `[B, C, H, W]`, 0 or more: `[B, H, W]`."""
        raise NotImplementedError


MIXERS: Registry[Mixer] = Registry("mixer")
MIXERS.import_folder(__name__, __path__)
