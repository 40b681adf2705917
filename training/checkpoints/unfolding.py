"""Batch norms that export has folded into the convolutions before them, as norms again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.network import LKAReID

CONVOLUTIONS = {"bn1": "conv1", "bn2": "conv2", "bn3": "conv3", "1": "0"}
"""What export folds a norm into, by the last part of their names."""


def convolution_before(norm: str) -> str | None:
    """The name of the convolution that a norm of this name is folded into, or None."""
    stem, _, last = norm.rpartition(".")
    return f"{stem}.{CONVOLUTIONS[last]}".lstrip(".") if last in CONVOLUTIONS else None


def unfolded(network: LKAReID, name: str, norm: nn.BatchNorm2d, bias: Tensor) -> dict[str, Tensor]:
    """The state of a norm that only adds its convolution's folded bias, where that has none of its own.

    Args:
        network: that the norm is part of.
        name: of the norm, one with a `convolution_before`.
        norm: of this name.
        bias: of the folded convolution.
    """
    has_bias = network.get_submodule(convolution_before(name) or "").bias is not None
    return {
        f"{name}.weight": torch.ones_like(norm.weight),
        f"{name}.bias": torch.zeros_like(bias) if has_bias else bias,
        f"{name}.running_mean": torch.zeros_like(norm.bias),
        f"{name}.running_var": torch.full_like(norm.bias, 1 - norm.eps),
        f"{name}.num_batches_tracked": torch.zeros((), dtype=torch.long),
    }
