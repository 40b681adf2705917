"""Cells of a trunk's map: their order, their mean, and the image size that belongs to them."""

from __future__ import annotations

import numpy as np
import torch

from models.preprocessing import normalise
from models.trunk import Trunk
from training.features.trunk_cells import TrunkCells


def test_cells_run_column_by_column_and_their_mean_is_the_descriptor_s_direction() -> None:
    torch.manual_seed(0)
    trunk = Trunk(width=4, depth=(1, 1, 1), ibn=False, v1=True)
    embedder = TrunkCells(trunk, 128, grid=(2, 4))
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 128, 128)).astype(np.uint8)
    found = embedder.embed(images)
    assert embedder.strips == found.strips.shape[1:] == (8, trunk.channels)
    assert (embedder.input.height, embedder.input.width) == (128, 128)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        shared = trunk(torch.from_numpy(normalise(images, embedder.input))).float()
    # The second cell is the lower one of the first column.
    np.testing.assert_allclose(
        found.strips[:, 1].astype(np.float32), shared[:, :, 4:, :2].mean(dim=(2, 3)), rtol=0.03, atol=0.02
    )
    mean = found.strips.astype(np.float32).mean(axis=1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(found.descriptors, mean, atol=2e-3)
