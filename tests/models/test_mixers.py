from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from models.mixers import HCA, LKA, MHSA, MIXERS, channel_kernel, make_mixer, pooling_matrix
from tests.models import reference


def weights_of(module: torch.nn.Module) -> dict[str, reference.Array]:
    return {name: value.detach().double().numpy() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("name", MIXERS)
def test_every_mixer_keeps_the_shape_of_the_map(name: str) -> None:
    mixer = make_mixer(name, 16, (6, 10))
    assert mixer(torch.randn(2, 16, 6, 10)).shape == (2, 16, 6, 10)


def test_an_unknown_mixer_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown mixer 'lkc'; there are conv, mhsa, lka, hca"):
        make_mixer("lkc", 16, (4, 4))


def test_lka_agrees_with_equations_1_to_3() -> None:
    torch.manual_seed(0)
    mixer = LKA(6).double()
    x = torch.randn(1, 6, 9, 7, dtype=torch.float64)
    expected = reference.lka(x[0].numpy(), weights_of(mixer))
    np.testing.assert_allclose(mixer(x)[0].detach().numpy(), expected, rtol=1e-9, atol=1e-9)


def test_lka_sees_21_px_and_its_layers_are_those_of_the_paper() -> None:
    mixer = LKA(4)
    assert mixer.local.kernel_size == (5, 5)
    assert mixer.distant.kernel_size == (7, 7)
    assert mixer.distant.dilation == (3, 3)
    assert mixer.local.bias is None
    assert mixer.distant.bias is None
    x = torch.zeros(1, 4, 41, 41, requires_grad=True)
    mixer.attend(mixer.distant(mixer.local(x)))[0, :, 20, 20].sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum(dim=(0, 1)).nonzero()
    reach = (touched - 20).abs().amax()
    assert 10 <= reach <= 11  # 5x5 then 7x7 dilated by 3 covers the 21x21 of K = 21, and a rim


def test_hca_agrees_with_the_plain_reading_of_section_2c() -> None:
    torch.manual_seed(1)
    mixer = HCA(8, (16, 12)).double()
    x = torch.randn(2, 8, 16, 12, dtype=torch.float64)
    # The pooling matrices are made in single precision.
    for image, found in zip(x, mixer(x), strict=True):
        expected = reference.hca(
            image.numpy(), weights_of(mixer)["across.weight"][0, 0], weights_of(mixer)["local.weight"][0, 0]
        )
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


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_pooling_matrix_is_adaptive_average_pooling(size: int, bins: int) -> None:
    x = torch.randn(1, 3, size)
    torch.testing.assert_close(x @ pooling_matrix(size, bins).T, F.adaptive_avg_pool1d(x, bins))


@pytest.mark.parametrize(("channels", "kernel"), [(512, 7), (256, 5), (1024, 7), (64, 5), (2048, 7)])
def test_channel_kernel_follows_equation_4(channels: int, kernel: int) -> None:
    assert channel_kernel(channels) == kernel


def test_mhsa_attends_by_content_and_relative_position() -> None:
    torch.manual_seed(3)
    mixer = MHSA(8, (3, 2), heads=2).double()
    x = torch.randn(1, 8, 3, 2, dtype=torch.float64)
    weights = weights_of(mixer)
    flat = x[0].flatten(1).numpy()
    q, k, v = (
        (weights[f"{n}.weight"][:, :, 0, 0] @ flat + weights[f"{n}.bias"][:, None]).reshape(2, 4, 6)
        for n in ("query", "key", "value")
    )
    position = (weights["rows"] + weights["columns"]).reshape(2, 4, 6)
    heads = [v[h] @ reference.softmax(q[h].T @ k[h] + position[h].T @ q[h]).T for h in range(2)]
    expected = np.concatenate(heads).reshape(8, 3, 2)
    np.testing.assert_allclose(mixer(x)[0].detach().numpy(), expected, rtol=1e-9)
