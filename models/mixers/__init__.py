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


class SelfAttention(Attending):
    """Every place of a map takes the values of all places, by how much it looks at each.

    Attributes:
        heads: of the attention.
        value: makes the values of a map, of its shape.
    """

    heads: int
    value: nn.Module

    def attention(self, x: Tensor) -> Tensor:
        """How much each place (a row, which sums to 1) looks at each: `[B, heads, H * W, H * W]`."""
        raise NotImplementedError

    def split(self, x: Tensor) -> Tensor:
        """A map by heads: `[B, C, H, W]` -> `[B, heads, C / heads, H * W]`."""
        by_heads: Tensor = x.flatten(2).unflatten(1, (self.heads, -1))
        return by_heads

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        mixed: Tensor = self.split(self.value(x)) @ self.attention(x).transpose(-2, -1)
        return mixed.reshape(x.shape)

    def attention_map(self, x: Tensor) -> Tensor:
        """How much all places of an image look at each, mean over heads: `[B, C, H, W]` -> `[B, H, W]`."""
        return self.attention(x).mean(dim=(1, 2)).view(-1, *x.shape[2:])


MIXERS: Registry[Mixer] = Registry("mixer")
MIXERS.import_folder(__name__, __path__)
