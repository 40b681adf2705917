"""Multi-head self-attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.mixers import MIXERS, Mixer


class MHSA(nn.Module):
    """Multi-head self-attention with relative position terms for one map size (BoTNet; MBR baseline).

    Args:
        channels: C, divisible by `heads`.
        map_size: (H, W) of the maps it will see; the position terms are learned for that size.
        heads: number of attention heads.
    """

    def __init__(self, channels: int, map_size: tuple[int, int], heads: int = 4) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not split into {heads} heads")
        height, width = map_size
        self.heads = heads
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.rows = nn.Parameter(torch.randn(heads, channels // heads, height, 1))
        self.columns = nn.Parameter(torch.randn(heads, channels // heads, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`; a map of another size than `map_size` is a RuntimeError."""
        batch, channels, height, width = x.shape
        q, k, v = (
            project(x).view(batch, self.heads, channels // self.heads, height * width)
            for project in (self.query, self.key, self.value)
        )
        position = (self.rows + self.columns).flatten(2)
        scores = q.transpose(-2, -1) @ k + position.transpose(-2, -1) @ q
        attention = scores.softmax(dim=-1)
        mixed: Tensor = v @ attention.transpose(-2, -1)
        return mixed.reshape(batch, channels, height, width)


MIXERS.register("mhsa", Mixer(MHSA, shortcut_bias=True))
