"""Multi-head self-attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.mixers import MIXERS, Mixer, SelfAttention


class MHSA(SelfAttention):
    """Multi-head self-attention with relative position terms for one map size (BoTNet; MBR baseline).

    Args:
        channels: C, divisible by `heads`.
        map_size: (H, W) of the maps it will see; the position terms are learned for that size. A map of
            another size is a RuntimeError.
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

    def attention(self, x: Tensor) -> Tensor:
        """See `SelfAttention`."""
        q, k = self.split(self.query(x)), self.split(self.key(x))
        position = (self.rows + self.columns).flatten(2)
        scores = q.transpose(-2, -1) @ k + position.transpose(-2, -1) @ q
        attention: Tensor = scores.softmax(dim=-1)
        return attention


MIXERS.register("mhsa", Mixer(MHSA, shortcut_bias=True))
