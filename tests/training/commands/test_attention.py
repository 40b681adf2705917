"""`lka-reid study-attention` writes a table and a figure, and refuses what it cannot look at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from models.network import LKAReID
from tests.training.tiny import EMBEDDER
from training.checkpoints.weights import save_embedder
from training.cli import app
from training.config.files import load_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(EMBEDDER, encoding="utf-8")
    return path


@pytest.fixture
def embedders(config: Path, tmp_path: Path) -> Path:
    for seed in range(2):
        torch.manual_seed(seed)
        network = LKAReID(load_config(config, []).network.build())
        save_embedder(tmp_path / f"seed{seed}" / "fold-1.safetensors", network)
    return tmp_path


def run(config: Path, tree: Path, out: Path, *words: str) -> Result:
    start = ["study-attention", "--config", str(config), "--data", str(tree), "--out", str(out)]
    return CliRunner().invoke(app, [*start, *words], env={"COLUMNS": "200"})


@pytest.mark.slow
def test_a_table_and_a_figure_are_written(config: Path, embedders: Path, tree: Path, tmp_path: Path) -> None:
    out, figure = tmp_path / "out", tmp_path / "docs" / "map.webp"
    words = ("--embedders", f"plain={embedders}/seed*/fold-1.safetensors", "--figure", str(figure))
    found = run(config, tree, out, *words, "--json")
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert {(o["embedders"], o["file"]) for o in values["outcomes"]} == {
        ("plain", f"seed{seed}/fold-1.safetensors") for seed in range(2)
    }
    assert values == json.loads((out / "attention.json").read_text(encoding="utf-8"))
    text = (out / "table.md").read_text(encoding="utf-8")
    assert "8 images of manifest that were not learned from; embedders: plain: 2" in text
    assert "| 1 lka, plain |" in text
    with Image.open(figure) as drawn:
        assert drawn.format == "WEBP"
        assert len(drawn.convert("RGB").getcolors(1 << 24) or []) > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--embedders", "runs/none*.safetensors"), "give a name and files"),
        (("--embedders", "plain=runs/none*.safetensors"), "there is no such file"),
        (("--embedders", "plain={}", "--embedders", "plain={}"), "have the same name"),
        (("--embedders", "plain={}", "--image", "nowhere.png"), "--image nowhere.png"),
        (("--embedders", "plain={}", "--figure", "map.gif7"), "--figure map.gif7"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_before_anything_is_measured(
    config: Path, embedders: Path, tree: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "out"
    file = str(embedders / "seed0" / "fold-1.safetensors")
    found = run(config, tree, out, *(word.format(file) for word in words))
    assert found.exit_code == 2
    assert said in found.output
    assert not out.exists()
