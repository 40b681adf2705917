"""The configuration of the compact embedder, made small: trained, exported and served with its strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.bundle import Bundle
from models.runtime import Models
from training.cli import app

CONFIG = Path(__file__).parents[3] / "configs" / "lkca-edge.yaml"
SMALL = {
    "data.validation_vehicles": "4",
    "network.image_size": "[32, 32]",
    "network.vit.dim": "24",
    "network.vit.depth": "2",
    "network.strip_width": "16",
    "batch.vehicles": "4",
    "schedule.epochs": "1",
    "schedule.warm_up": "0.5",
}


@pytest.mark.slow
def test_a_compact_embedder_trains_exports_and_serves_descriptor_and_strips(
    tree: Path, tmp_path: Path
) -> None:
    words = [
        "train",
        "embedder",
        "--config",
        str(CONFIG),
        "--data",
        str(tree),
        "--out",
        str(tmp_path / "run"),
    ]
    found = CliRunner().invoke(app, [*words, *(f"--set={key}={value}" for key, value in SMALL.items())])
    assert found.exit_code == 0, found.output
    bundle = Bundle.load(tmp_path / "run" / "bundle")
    assert bundle.manifest.network["vit"]["attention"] == "lkca"
    models = Models.load(bundle, "cpu")
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32)).astype(np.uint8)
    embedded = models.embedder.embed(images)
    assert embedded.descriptors.shape == (3, 24)
    np.testing.assert_allclose(np.linalg.norm(embedded.descriptors, axis=1), 1, atol=1e-5)
    assert embedded.strips is not None
    assert embedded.strips.shape == (3, 4, 16)
