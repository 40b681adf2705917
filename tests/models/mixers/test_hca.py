from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.mixers.hca import HCA, channel_kernel
from tests.models import reference


def test_hca_agrees_with_the_plain_reading_of_section_2c() -> None:
    torch.manual_seed(1)
    mixer = HCA(8, (16, 12)).double()
    x = torch.randn(2, 8, 16, 12, dtype=torch.float64)
    weights = reference.weights_of(mixer)
    # The pooling matrices are made in single precision.
    for image, found in zip(x, mixer(x), strict=True):
        expected = reference.hca(image.numpy(), weights["across.weight"][0, 0], weights["local.weight"][0, 0])
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-7)


def test_hca_by_matrices_equals_the_adaptive_pooling_form() -> None:
    torch.manual_seed(2)
    channels, size = 32, 5
    mixer = HCA(channels, (16, 16))
    x = torch.randn(3, channels, 16, 16)
    pooled = F.adaptive_avg_pool2d(x, size)
    across = torch.sigmoid(mixer.across(F.adaptive_avg_pool2d(pooled, 1)[..., 0].transpose(1, 2)))
    local = torch.sigmoid(mixer.local(pooled.flatten(2).transpose(1, 2).reshape(3, 1, -1)))
    local = local.reshape(3, size * size, channels).transpose(1, 2).reshape(3, channels, size, size)
    mixed = 0.5 * across.transpose(1, 2).unsqueeze(-1).expand_as(local) + 0.5 * local
    expected = x * F.adaptive_avg_pool2d(mixed, (16, 16))
    torch.testing.assert_close(mixer(x), expected)


@pytest.mark.parametrize(("channels", "kernel"), [(512, 7), (256, 5), (1024, 7), (64, 5), (2048, 7)])
def test_channel_kernel_follows_equation_4(channels: int, kernel: int) -> None:
    assert channel_kernel(channels) == kernel
