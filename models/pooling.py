"""Pooling: of a branch's map to one vector, and of one axis as a matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GeM(nn.Module):
    """Generalised mean with a learned power, 3 at first (Radenovic et al., 2019); 1 is the average."""

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(3.0))

    def forward(self, branch_map: Tensor) -> Tensor:
        """`[B, F, H, W]` -> `[B, F]`, computed in float32."""
        with torch.autocast(branch_map.device.type, enabled=False):
            positive = branch_map.float().clamp_min(1e-6)
            pooled: Tensor = positive.pow(self.power).mean(dim=(2, 3)).pow(1 / self.power)
            return pooled


class Average(nn.Module):
    """Global average, `[B, F, H, W]` -> `[B, F]`."""

    def forward(self, branch_map: Tensor) -> Tensor:
        """`[B, F, H, W]` -> `[B, F]`."""
        return branch_map.mean(dim=(2, 3))


POOLINGS: dict[str, type[nn.Module]] = {"average": Average, "gem": GeM}


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
