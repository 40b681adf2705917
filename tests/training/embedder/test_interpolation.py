"""Weights between the start and what was learned, and norms that fit them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.embedder.interpolation import estimate_norms, interpolate, weights_of


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_start_is_mixed_into_what_was_learned(share: float) -> None:
    module = nn.Linear(3, 2)
    start = weights_of(module)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(1)
    interpolate(module, start, share)
    for name, value in module.named_parameters():
        torch.testing.assert_close(value.detach(), start[name] + (1 - share))


def test_norms_are_the_means_over_the_batches_and_average_as_before_afterwards() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten())
    norm = network[0]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.momentum = 0.3
    torch.manual_seed(0)
    batches = [torch.randn(4, 2, 3, 3) * 2 + 5 for _ in range(3)]
    network(batches[0])
    estimate_norms(network, batches)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0))
    assert norm.momentum == 0.3
    assert not network.training
