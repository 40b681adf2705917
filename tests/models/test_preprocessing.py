from __future__ import annotations

import numpy as np
from PIL import Image

from models.inputspec import InputSpec
from models.preprocessing import prepare


def test_preparing_takes_mean_and_std_out_of_values_from_0_to_1() -> None:
    spec = InputSpec(height=4, width=6, mean=(0.5, 0.25, 0.0), std=(0.5, 0.5, 2.0))
    prepared = prepare(Image.new("RGB", (6, 4), (255, 0, 51)), spec)
    assert prepared.shape == (3, 4, 6)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared[:, 0, 0], [1.0, -0.5, 0.1], rtol=1e-6)


def test_preparing_squeezes_any_size_to_the_networks() -> None:
    spec = InputSpec(height=32, width=48)
    assert prepare(Image.new("RGB", (100, 7)), spec).shape == (3, 32, 48)
