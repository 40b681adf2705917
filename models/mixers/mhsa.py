"""Multi-head self-attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.mixers import MIXERS, Attending, Mixer


class MHSA(Attending):
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
        values = self._split(self.value(x))
        mixed: Tensor = values @ self._attention(x).transpose(-2, -1)
        return mixed.reshape(x.shape)

    def attention_map(self, x: Tensor) -> Tensor:
        """How much all places of an image look at each, mean over heads: `[B, C, H, W]` -> `[B, H, W]`."""
        seen: Tensor = self._attention(x).mean(dim=(1, 2))
        return seen.view(-1, *x.shape[2:])

    def _attention(self, x: Tensor) -> Tensor:
        """How much each place (a row, which sums to 1) looks at each: `[B, heads, H * W, H * W]`."""
        q, k = self._split(self.query(x)), self._split(self.key(x))
        position = (self.rows + self.columns).flatten(2)
        scores = q.transpose(-2, -1) @ k + position.transpose(-2, -1) @ q
        attention: Tensor = scores.softmax(dim=-1)
        return attention

    def _split(self, x: Tensor) -> Tensor:
        split: Tensor = x.flatten(2).unflatten(1, (self.heads, -1))
        return split


MIXERS.register("mhsa", Mixer(MHSA, shortcut_bias=True))
