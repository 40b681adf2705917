"""A mixer, a branch loss, a metric and a layout come with one file each: a copy of the sources that has one
more of each trains and measures with them, and nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ADDED = {
    "models/mixers/point.py": """
from torch import nn
from models.mixers import MIXERS, Mixer

MIXERS.register("point", Mixer(lambda channels, _: nn.Conv2d(channels, channels, 1), shortcut_bias=True))
""",
    "models/losses/spread.py": """
from pydantic import Field
from models.losses import LOSSES, BranchLoss, LossSettings


class SpreadSettings(LossSettings):
    spread: float = Field(default=1.0, ge=0, description="keeps features small")
    power: float = Field(default=2.0, gt=0, description="of the spread")


def spread(batch, settings):
    return batch.gather(batch.pooled).abs().pow(settings.power).mean()


LOSSES.register("spread", BranchLoss(spread, SpreadSettings))
""",
    "training/datasets/readers/pairs.py": """
from training.datasets.dataset import Dataset, Task
from training.datasets.image import VehicleImage
from training.datasets.readers import LAYOUTS, Layout


def read(root):
    rows = [line.split() for line in (root / "pairs.txt").read_text().splitlines()]
    images = [VehicleImage(root / name, vehicle, camera) for name, vehicle, camera in rows]
    return Dataset("pairs", root, images, [Task("all", images, images)], has_split=False)


LAYOUTS.register("pairs", Layout(lambda root: (root / "pairs.txt").is_file(), read))
""",
}
METRIC = 'METRICS.register("R2", Metric(within(2), (REIDENTIFICATION,)))\n'
CONFIG = """
data: {layout: pairs, validation_vehicles: 4}
network:
  branches: [{mixer: point, loss: spread}, {mixer: conv, loss: both}]
  width: 4
  depth: [1, 1, 1, 1]
  image_size: [32, 32]
losses: {spread: 0.5, power: 3}
batch: {vehicles: 4, images: 2, epoch: vehicles}
schedule: {epochs: 1, warm_up: 0.5, freeze: 0}
run: {device: cpu, precision: fp32, workers: 0}
bundle: {export: false}
"""


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """The sources with one more of each."""
    root = tmp_path / "sources"
    for room in ("models", "index", "service", "training"):
        shutil.copytree(ROOT / room, root / room, ignore=shutil.ignore_patterns("bundles", "demo", "*.pyc"))
    for name, text in ADDED.items():
        (root / name).write_text(text, encoding="utf-8")
    with (root / "training" / "evaluation" / "metrics.py").open("a", encoding="utf-8") as file:
        file.write(METRIC)
    return root


def lka_reid(sources: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from training.cli import app; app()", *words],
        cwd=sources,
        env=os.environ | {"PYTHONPATH": str(sources), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_one_file_each_is_all_that_a_mixer_a_loss_a_metric_and_a_layout_need(
    extended: Path, tree: Path, tmp_path: Path
) -> None:
    rows = [line.split(",") for line in tree.read_text(encoding="utf-8").splitlines()[1:]]
    pairs = "\n".join(f"{name} {vehicle} {camera}" for name, vehicle, camera, _ in rows)
    (tree.parent / "pairs.txt").write_text(pairs + "\n", encoding="utf-8")
    tree.unlink()
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG, encoding="utf-8")

    assert "(pairs)" in lka_reid(extended, "data", "check", str(tree.parent))
    keys = lka_reid(extended, "train", "keys")
    assert "losses.power" in keys
    assert "keeps features small" in keys
    run = tmp_path / "run"
    lka_reid(
        extended, "train", "embedder", "--config", str(config), "--data", str(tree.parent), "--out", str(run)
    )
    written = (run / "config.yaml").read_text(encoding="utf-8")
    assert "  power: 3.0  # of the spread" in written
    metrics = json.loads((run / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["history"][0]["losses"]) == {"spread", "cross_entropy", "triplet"}
    assert metrics["configuration"]["network"]["branches"][0] == {"mixer": "point", "loss": "spread"}
    (row,) = metrics["results"]
    assert row["R1"] <= row["R2"] <= row["R5"]
