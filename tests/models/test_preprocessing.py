from __future__ import annotations

import numpy as np
from PIL import Image

from models.inputspec import InputSpec
from models.preprocessing import normalise, prepare


def test_normalising_takes_mean_and_std_out_of_values_from_0_to_1() -> None:
    spec = InputSpec(height=4, width=6, mean=(0.5, 0.25, 0.0), std=(0.5, 0.5, 2.0))
    prepared = prepare(Image.new("RGB", (6, 4), (255, 0, 51)), spec)
    assert prepared.shape == (3, 4, 6)
    assert prepared[:, 0, 0].tolist() == [255, 0, 51]
    assert prepared.dtype == np.uint8
    normalised = normalise(prepared, spec)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(normalised[:, 0, 0], [1.0, -0.5, 0.1], rtol=1e-6)


def test_a_batch_is_normalised_as_each_of_its_images_is_alone_bit_for_bit() -> None:
    spec = InputSpec(height=16, width=16)
    planes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    batch = np.stack([np.stack([np.roll(planes, 7 * n + 3 * c) for c in range(3)]) for n in range(3)])
    # As images were normalised when each was by itself, in float32 from the start: descriptors stay the same.
    mean, std = (np.asarray(each).reshape(3, 1, 1) for each in (spec.mean, spec.std))
    scale, offset = (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)
    for image, found in zip(batch, normalise(batch, spec), strict=True):
        np.testing.assert_array_equal(found, image.astype(np.float32) * scale + offset)


def test_preparing_squeezes_any_size_to_the_networks() -> None:
    spec = InputSpec(height=32, width=48)
    assert prepare(Image.new("RGB", (100, 7)), spec).shape == (3, 32, 48)
