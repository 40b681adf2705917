"""Large kernel convolutional attention."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.mixers import MIXERS, Mixer

View = Callable[[Tensor, Tensor], Tensor]


def offsets(side: int) -> Tensor:
    """Where a kernel's axis has the weight that place i gives place r, for each i and r: `[side * side]`.

    It is side - 1 - i + r of 2 * side - 1: the window that algorithm 1 slides up begins at side - 1 - i.
    """
    place = torch.arange(side)
    return (side - 1 - place.unsqueeze(1) + place).flatten()


def score_matrix(kernel: Tensor, rows: Tensor, columns: Tensor, size: tuple[int, int]) -> Tensor:
    """A kernel's windows as rows of a matrix (algorithm 1): `[G, 2H-1, 2W-1]` -> `[G, N, N]`, N = H * W.

    Args:
        kernel: G of them.
        rows: `offsets(H)`.
        columns: `offsets(W)`.
        size: (H, W).
    """
    height, width = size
    windows = kernel.index_select(1, rows).index_select(2, columns)
    windows = windows.view(-1, height, height, width, width).transpose(2, 3)
    return windows.reshape(-1, height * width, height * width)


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
    rows, columns = offsets(height).to(kernel.device), offsets(width).to(kernel.device)
    return attend(values, score_matrix(kernel, rows, columns, (height, width)))


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
        self.map_size = map_size
        self.register_buffer("rows", offsets(height), persistent=False)
        self.register_buffer("columns", offsets(width), persistent=False)

    rows: Tensor
    columns: Tensor

    def scores(self) -> Tensor:
        """What each place takes of each other one, `[heads, N, N]`: the attention matrix of every image."""
        return score_matrix(self.kernel, self.rows, self.columns, self.map_size)

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
