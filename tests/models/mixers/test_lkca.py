from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.mixers.lkca import FASTER, LKCA, VIEWS, LargeKernel, by_attention, by_convolution
from tests.models import reference


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    heads=st.integers(1, 4),
    each=st.integers(1, 5),
    batch=st.integers(1, 3),
    double=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_both_views_are_equal_to_float_precision(
    height: int, width: int, heads: int, each: int, batch: int, double: bool, seed: int
) -> None:
    dtype = torch.float64 if double else torch.float32
    source = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, heads * each, height, width, dtype=dtype, generator=source)
    kernel = torch.randn(heads, 2 * height - 1, 2 * width - 1, dtype=dtype, generator=source)
    first, second = by_attention(values, kernel), by_convolution(values, kernel)
    # Sums of at most 81 products of the order of 1.
    torch.testing.assert_close(first, second, rtol=0, atol=81 * 16 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_algorithm_1_written_out(view: str) -> None:
    torch.manual_seed(0)
    values = torch.randn(1, 4, 3, 5, dtype=torch.float64)
    kernels = torch.randn(2, 5, 9, dtype=torch.float64)
    found = VIEWS[view](values, kernels)[0]
    for head, kernel in enumerate(kernels):
        own = slice(2 * head, 2 * head + 2)
        expected = reference.lkca(values[0, own].numpy(), kernel.numpy())
        np.testing.assert_allclose(found[own].numpy(), expected, rtol=1e-12, atol=1e-12)


def test_both_views_have_the_same_gradients() -> None:
    torch.manual_seed(1)
    values = torch.randn(2, 6, 4, 4, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(1, 7, 7, dtype=torch.float64, requires_grad=True)
    found = [
        torch.autograd.grad(view(values, kernel).square().sum(), (values, kernel)) for view in VIEWS.values()
    ]
    torch.testing.assert_close(found[0], found[1])


def test_the_module_computes_what_the_views_do_with_its_kernel() -> None:
    torch.manual_seed(2)
    module = LargeKernel((4, 3), heads=2)
    torch.nn.init.normal_(module.kernel)
    values = torch.randn(2, 6, 4, 3)
    assert FASTER in VIEWS
    torch.testing.assert_close(module(values), by_convolution(values, module.kernel))


def test_an_untrained_mixer_hands_the_map_on_and_learns() -> None:
    torch.manual_seed(3)
    mixer = LKCA(6, (4, 4))
    x = torch.randn(2, 6, 4, 4)
    assert mixer.output.bias is not None
    torch.testing.assert_close(mixer(x), x + mixer.output.bias.view(1, -1, 1, 1))
    mixer(x).square().sum().backward()
    assert mixer.mix.kernel.grad is not None
    assert mixer.mix.kernel.grad.any()


def test_channels_that_do_not_split_are_refused() -> None:
    with pytest.raises(ValueError, match="6 channels do not split into 4 heads"):
        LKCA(6, (4, 4), heads=4)
