"""Mixers: what stands in the place of a stage-4 bottleneck's 3x3 convolution.

Every mixer maps a feature map `[B, C, H, W]` to one of the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv(nn.Conv2d):
    """The bottleneck's own 3x3 convolution, stride 1 (the `conv` mixer of the MBR baseline)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, bias=False)


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


class LKA(nn.Module):
    """Large kernel attention (LKA-ReID, section II.B, eq. 1-3).

    A `kernel`x`kernel` convolution is split into a depth-wise (2d-1)x(2d-1) convolution, a depth-wise
    ceil(kernel/d) convolution of dilation d, and a 1x1 convolution. With kernel 21 and d = 3 that is
    5x5, then 7x7 dilated by 3. The 1x1 convolutions have a bias, the depth-wise ones none.
    """

    def __init__(self, channels: int, kernel: int = 21, dilation: int = 3) -> None:
        super().__init__()
        local = 2 * dilation - 1
        distant = math.ceil(kernel / dilation)
        self.expand = nn.Conv2d(channels, channels, 1)
        self.local = nn.Conv2d(channels, channels, local, padding=local // 2, groups=channels, bias=False)
        self.distant = nn.Conv2d(
            channels,
            channels,
            distant,
            padding=dilation * (distant // 2),
            dilation=dilation,
            groups=channels,
            bias=False,
        )
        self.attend = nn.Conv2d(channels, channels, 1)
        self.contract = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        expanded = self.expand(F.gelu(x))
        attention = self.attend(self.distant(self.local(expanded)))
        out: Tensor = self.contract(attention * expanded) + x
        return out


def pooling_matrix(size: int, bins: int) -> Tensor:
    """Adaptive average pooling of one axis as a matrix `[bins, size]`, rows summing to 1.

    The bins are those of `torch.nn.functional.adaptive_avg_pool1d`: bin i spans
    floor(i*size/bins) to ceil((i+1)*size/bins). It also un-pools, with size < bins. Written as a
    matrix because adaptive pooling to a size that does not divide the map has no ONNX form.
    """
    matrix = torch.zeros(bins, size)
    for i in range(bins):
        start, end = i * size // bins, -((i + 1) * size // -bins)
        matrix[i, start:end] = 1 / (end - start)
    return matrix


def channel_kernel(channels: int, gamma: float = 2, b: float = 2) -> int:
    """Kernel size of HCA's 1-d convolutions for C channels (eq. 4): odd(ceil((log2 C + b) / gamma))."""
    k = math.ceil((math.log2(channels) + b) / gamma)
    return k + 1 if k % 2 == 0 else k


class HCA(nn.Module):
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
        channels, k = x.shape[1], self.local_size
        pooled = self.pool_rows @ x @ self.pool_columns.T
        across = self.across(pooled.mean(dim=(2, 3)).unsqueeze(1)).sigmoid()
        by_position = pooled.flatten(2).transpose(1, 2).reshape(-1, 1, k * k * channels)
        local = self.local(by_position).sigmoid().view(-1, k * k, channels).transpose(1, 2)
        weights = 0.5 * (across.transpose(1, 2) + local)
        weights = weights.reshape(-1, channels, k, k)
        out: Tensor = x * (self.unpool_rows @ weights @ self.unpool_columns.T)
        return out


_MIXERS: dict[str, Callable[[int, tuple[int, int]], nn.Module]] = {
    "conv": lambda channels, _: Conv(channels),
    "mhsa": lambda channels, map_size: MHSA(channels, map_size),
    "lka": lambda channels, _: LKA(channels),
    "hca": lambda channels, map_size: HCA(channels, map_size),
}
MIXERS = tuple(_MIXERS)


def make_mixer(name: str, channels: int, map_size: tuple[int, int]) -> nn.Module:
    """The mixer called `name` for maps `[B, channels, *map_size]`.

    Raises:
        ValueError: no mixer has that name.
    """
    if name not in _MIXERS:
        raise ValueError(f"unknown mixer {name!r}; there are {', '.join(MIXERS)}")
    return _MIXERS[name](channels, map_size)
