"""Hybrid channel attention."""

from __future__ import annotations

import math

from torch import Tensor, nn

from models.mixers import MIXERS, Attending, Mixer
from models.pooling import pooling_matrix


def channel_kernel(channels: int, gamma: float = 2, b: float = 2) -> int:
    """Kernel size of HCA's 1-d convolutions for C channels (eq. 4): odd(ceil((log2 C + b) / gamma))."""
    k = math.ceil((math.log2(channels) + b) / gamma)
    return k + 1 if k % 2 == 0 else k


class HCA(Attending):
    """Hybrid channel attention (LKA-ReID, section II.C, figure 3, eq. 4).

    The map is pooled to `local_size` x `local_size`. A global branch (its mean, a 1-d convolution over
    the channels) and a local one (all of it in one row, position by position, its own 1-d convolution)
    are mixed half and half, un-pooled to the map's size and multiplied with the input.

    Args:
        channels: C; sets the width of the 1-d convolutions.
        map_size: (H, W) of the maps it will see; the pooling matrices are made for that size.
        local_size: k_s, side of the pooled map.
    """

    def __init__(self, channels: int, map_size: tuple[int, int], local_size: int = 5) -> None:
        super().__init__()
        kernel = channel_kernel(channels)
        self.local_size = local_size
        self.across = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.local = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        for name, size in zip(("rows", "columns"), map_size, strict=True):
            self.register_buffer(f"pool_{name}", pooling_matrix(size, local_size), persistent=False)
            self.register_buffer(f"unpool_{name}", pooling_matrix(local_size, size), persistent=False)

    pool_rows: Tensor
    pool_columns: Tensor
    unpool_rows: Tensor
    unpool_columns: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`; a map of another size than `map_size` is a RuntimeError."""
        out: Tensor = x * self._weights(x)
        return out

    def attention_map(self, x: Tensor) -> Tensor:
        """Mean over the channels of what each place is multiplied with: `[B, C, H, W]` -> `[B, H, W]`."""
        return self._weights(x).mean(dim=1)

    def _weights(self, x: Tensor) -> Tensor:
        """What the map `[B, C, H, W]` is multiplied with, of its shape, from 0 to 1."""
        channels, k = x.shape[1], self.local_size
        pooled = self.pool_rows @ x @ self.pool_columns.T
        across = self.across(pooled.mean(dim=(2, 3)).unsqueeze(1)).sigmoid()
        by_position = pooled.flatten(2).transpose(1, 2).reshape(-1, 1, k * k * channels)
        local = self.local(by_position).sigmoid().view(-1, k * k, channels).transpose(1, 2)
        weights = 0.5 * (across.transpose(1, 2) + local)
        weights = weights.reshape(-1, channels, k, k)
        unpooled: Tensor = self.unpool_rows @ weights @ self.unpool_columns.T
        return unpooled


MIXERS.register("hca", Mixer(HCA))
