from __future__ import annotations

import numpy as np
import torch

from models.mixers.lka import LKA
from tests.models import reference


def test_lka_agrees_with_equations_1_to_3() -> None:
    torch.manual_seed(0)
    mixer = LKA(6).double()
    x = torch.randn(1, 6, 9, 7, dtype=torch.float64)
    expected = reference.lka(x[0].numpy(), reference.weights_of(mixer))
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
