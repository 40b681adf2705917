"""Strips: the local features that the second stage compares."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.pooling import pooling_matrix


class StripHead(nn.Module):
    """Horizontal strips of every branch's map, projected to tokens.

    Each map `[B, F, H, W]` is averaged over its width and pooled to `strips` bands of its height; one
    learned layer a branch takes F to `width`; tokens are L2-normalised. Together they are the s x d
    feature that CarGait's re-ranker starts from; how a vehicle is cut in strips is our own choice.

    Args:
        branches: number of maps.
        features: F.
        height: H of the maps.
        strips: bands a branch; s = branches * strips.
        width: d.
    """

    def __init__(self, branches: int, features: int, height: int, strips: int, width: int) -> None:
        super().__init__()
        self.register_buffer("bands", pooling_matrix(height, strips), persistent=False)
        self.necks = nn.ModuleList(nn.BatchNorm1d(features) for _ in range(branches))
        self.projections = nn.ModuleList(nn.Linear(features, width, bias=False) for _ in range(branches))

    bands: Tensor

    def pool(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps `[B, F, H, W]` -> bands `[B, strips, F]`, a list over the branches."""
        return [(self.bands @ branch_map.mean(dim=3).transpose(1, 2)) for branch_map in maps]

    def project(self, bands: list[Tensor]) -> Tensor:
        """Bands `[B, strips, F]` -> tokens `[B, s, d]` of unit length, branch by branch."""
        tokens = []
        for band, neck, projection in zip(bands, self.necks, self.projections, strict=True):
            flat = neck(band.flatten(0, 1))
            tokens.append(projection(flat).unflatten(0, band.shape[:2]))
        return F.normalize(torch.cat(tokens, dim=1), dim=2)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps `[B, F, H, W]` -> tokens `[B, s, d]`."""
        return self.project(self.pool(maps))


class PartHead(StripHead):
    """Parts: the cells of a grid on the trunk's map, projected to tokens.

    Stage 3 is finer than the branches' last maps, less tied to the vehicles of the training, and the
    descriptor does not see it but through stage 4: its parts know what the first stage does not. Tokens run
    column by column, each from top to bottom.

    Args:
        features: channels of the trunk's map.
        map_size: (H, W) of it.
        grid: (rows, columns) of the parts; s = rows * columns.
        width: d.
    """

    def __init__(self, features: int, map_size: tuple[int, int], grid: tuple[int, int], width: int) -> None:
        super().__init__(1, features, map_size[0], grid[0], width)
        self.register_buffer("columns", pooling_matrix(map_size[1], grid[1]), persistent=False)

    columns: Tensor

    def pool(self, maps: list[Tensor]) -> list[Tensor]:
        """The trunk's map `[B, F, H, W]`, alone in a list -> its cells `[B, s, F]`, alone in a list."""
        (shared,) = maps
        cells = self.bands @ shared @ self.columns.T
        return [cells.permute(0, 3, 2, 1).flatten(1, 2)]
