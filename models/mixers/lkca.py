"""Large kernel convolutional attention."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.mixers import MIXERS, Mixer

View = Callable[[Tensor, Tensor], Tensor]


def places(height: int, width: int) -> Tensor:
    """Which kernel weight joins each two places of a map: `[H*W, H*W]` numbers into the flat kernel.

    Row i*W+j is the H x W window of the (2H-1) x (2W-1) kernel whose first corner is (H-1-i, W-1-j), row by
    row: the window that algorithm 1 slides up from the last corner.
    """
    row, column = torch.arange(height), torch.arange(width)
    rows = height - 1 - row.unsqueeze(1) + row
    columns = width - 1 - column.unsqueeze(1) + column
    grid = rows[:, None, :, None] * (2 * width - 1) + columns[None, :, None, :]
    return grid.reshape(height * width, height * width)


def attend(values: Tensor, scores: Tensor) -> Tensor:
    """Scores `[G, N, N]` times values `[B, C, H, W]`, each score matrix for C/G channels."""
    split: Tensor = values.flatten(2).unflatten(1, (len(scores), -1))
    return (split @ scores.transpose(1, 2)).reshape(values.shape)


def by_attention(values: Tensor, kernel: Tensor) -> Tensor:
    """LKCA as attention (algorithm 1): a matrix of N x N scores, made of windows of the kernel, times V.

    Args:
        values: V as a map, `[B, C, H, W]`.
        kernel: `[G, 2H-1, 2W-1]`, G of them, each for C/G channels; one in the paper.

    Returns:
        `[B, C, H, W]`.
    """
    height, width = values.shape[2:]
    return attend(values, kernel.flatten(1)[:, places(height, width).to(kernel.device)])


def by_convolution(values: Tensor, kernel: Tensor) -> Tensor:
    """LKCA as convolution (algorithm 2): every channel a map of its own, padded by H-1 and W-1.

    See `by_attention`, which gives the same.
    """
    batch, channels, height, width = values.shape
    count = len(kernel)
    maps = values.view(batch, count, -1, height, width).transpose(1, 2).flatten(0, 1)
    out = F.conv2d(maps, kernel.unsqueeze(1), padding=(height - 1, width - 1), groups=count)
    return out.view(batch, -1, count, height, width).transpose(1, 2).reshape(batch, channels, height, width)


VIEWS: dict[str, View] = {"attention": by_attention, "convolution": by_convolution}
FASTER = "attention"
"""What `LargeKernel` computes by; `python -m benchmarks.lkca` measures both."""


class LargeKernel(nn.Module):
    """The LKCA operator with its learned kernel, zero at first, in the faster view (LKCA, section III.B).

    Args:
        map_size: (H, W) of the maps it will see; the kernel is learned for that size.
        heads: kernels, each for an equal part of the channels; one in the paper.
    """

    def __init__(self, map_size: tuple[int, int], heads: int = 1) -> None:
        super().__init__()
        height, width = map_size
        self.kernel = nn.Parameter(torch.zeros(heads, 2 * height - 1, 2 * width - 1))
        self.register_buffer("places", places(height, width), persistent=False)

    places: Tensor

    def scores(self) -> Tensor:
        """What each place takes of each other one, `[heads, N, N]`: the attention matrix of every image."""
        return self.kernel.flatten(1)[:, self.places]

    def forward(self, values: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`; a map of another size than `map_size` is a RuntimeError."""
        return attend(values, self.scores())


class LKCA(nn.Module):
    """Large kernel convolutional attention as a mixer (LKCA, eq. 3): the map plus LKCA of it.

    Values by a 1x1 convolution without bias, one kernel as large as the map can use, a 1x1 convolution with
    bias. The batch norm before the mixer stands where the paper has layer norm. The kernel is zero at first:
    the mixer then adds a constant.

    Args:
        channels: C, divisible by `heads`.
        map_size: (H, W) of the maps it will see; the kernel is learned for that size.
        heads: kernels; one in the paper.
    """

    def __init__(self, channels: int, map_size: tuple[int, int], heads: int = 1) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not split into {heads} heads")
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.mix = LargeKernel(map_size, heads)
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`; a map of another size than `map_size` is a RuntimeError."""
        out: Tensor = x + self.output(self.mix(self.value(x)))
        return out


MIXERS.register("lkca", Mixer(LKCA))
