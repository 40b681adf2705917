"""The default bundle: one command makes what the two ordinary ones make, with the settings that shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models.bundle import DEFAULT_BUNDLE, Bundle
from models.manifest import hash_file
from tests.terminal import widen
from tests.training.tiny import EMBEDDER
from training.cli import app
from training.config.embedder import ExperimentConfig
from training.config.files import load_as, load_config
from training.config.reranker import RerankerExperimentConfig

CONFIGS = Path(__file__).parents[2] / "configs"
RERANKER = """
name: tiny bundle
head: {steps: 4, vehicles: 4, views: 1}
lists: {candidates: 3, views: 1}
training: {steps: 4, check_every: 2, batch: 4, learning_rate: 1e-3}
shape: {heads: 4}
checkpoint: {by: folds, fusions: [0, 1]}
run: {device: cpu}
bundle: {export: false}
"""


def lka_reid(*words: str | Path) -> str:
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == 0, found.output
    return found.output


def metrics_of(folder: Path) -> dict[str, Any]:
    """A run's metrics without its command and how long it took."""
    metrics: dict[str, Any] = json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))
    kept = ("name", "seed", "data", "weights", "results", "configuration", "settings")
    return {key: metrics[key] for key in kept}


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_one_command_makes_what_train_embedder_and_train_reranker_make(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widen(monkeypatch)
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(EMBEDDER, encoding="utf-8")
    second.write_text(RERANKER, encoding="utf-8")
    one, two = tmp_path / "one", tmp_path / "two"
    command = ("train", "default-bundle", "--config", first, "--reranker-config", second)
    shown = lka_reid(*command, "--data", tree, "--out", one)
    assert "both stages" in shown

    lka_reid("train", "embedder", "--config", first, "--data", tree, "--out", two / "embedder")
    rest = ("--embedder", two / "embedder", "--out", two / "reranker")
    lka_reid("train", "reranker", "--config", second, "--data", tree, *rest)
    files = ("embedder/embedder", "reranker/embedder", "reranker/reranker")
    for name in (*(f"{name}.safetensors" for name in files), "reranker/choice.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    for run in ("embedder", "reranker"):
        assert metrics_of(one / run) == metrics_of(two / run)

    before = {path: path.stat().st_mtime_ns for path in one.rglob("*")}
    assert lka_reid(*command, "--data", tree, "--out", one).splitlines()[-1] == shown.splitlines()[-1]
    assert {path: path.stat().st_mtime_ns for path in one.rglob("*")} == before, "finished parts are kept"

    options = ("--name", "renamed", "--precision", "int8")
    lka_reid("export", one, "--out", tmp_path / "a", *options)
    lka_reid("export", two / "reranker", "--out", tmp_path / "b", *options)
    bundle, again = Bundle.load(tmp_path / "a").manifest, Bundle.load(tmp_path / "b").manifest
    assert bundle.files == again.files
    assert set(bundle.files) == {"embedder.onnx", "reranker.onnx", "explainer.onnx"}
    assert bundle.name == "renamed"
    assert bundle.accuracy == again.accuracy
    assert bundle.accuracy is not None
    assert bundle.accuracy.measured_on == "validation vehicles, with fp32 weights"


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_an_embedder_that_starts_from_a_bundle_has_that_trained_first(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widen(monkeypatch)
    start, first, second = (tmp_path / f"{name}.yaml" for name in ("start", "first", "second"))
    start.write_text(EMBEDDER.replace("export: false", "export: true"), encoding="utf-8")
    from_bundle = (
        EMBEDDER.replace("freeze: 0", "freeze: 0, freeze_norms: true") + "weights: {layout: bundle}\n"
    )
    first.write_text(from_bundle, encoding="utf-8")
    augmented = RERANKER.replace("lists: {", "lists: {mining: augmented, ").replace(
        "{by: folds, fusions: [0, 1]}", "{by: last}"
    )
    second.write_text(augmented, encoding="utf-8")
    further = tmp_path / "rendered"
    further.mkdir()
    for image in tree.parent.glob("v*.png"):
        (further / image.name).write_bytes(image.read_bytes())
    (further / "manifest.csv").write_bytes(tree.read_bytes())
    out = tmp_path / "out"
    configs = ("--start-config", start, "--config", first, "--reranker-config", second)
    lka_reid("train", "default-bundle", *configs, "--data", tree, "--further", further, "--out", out)
    weights = metrics_of(out / "embedder")["weights"]
    assert weights["sha256"] == hash_file(out / "start" / "bundle" / "embedder.onnx")
    assert metrics_of(out / "start")["data"]["vehicles"] == 8
    assert metrics_of(out / "embedder")["data"]["vehicles"] == 8 + 12
    assert (out / "reranker" / "reranker.safetensors").exists()


def test_the_shipped_bundle_was_made_with_the_settings_of_the_configurations() -> None:
    training = Bundle.load(DEFAULT_BUNDLE).manifest.training
    assert training is not None
    assert training.reranker is not None
    # Its projection was estimated for weights that were trained and mixed before (docs/training.md), from a
    # bundle that had parts in place of strips.
    parts = ["network.strips=0", "network.parts=[4,4]", "network.strip_width=128", "losses.strips=0"]
    # Both sets of rendered vehicles were in one manifest.
    later = ["schedule.epochs=0", "data.further=all"]
    embedder = load_config(CONFIGS / "new-cameras.yaml", [*later, *parts])
    # Keys that were added since have their defaults.
    assert ExperimentConfig.model_validate(training.embedder) == embedder
    assert len(training.held_out_vehicles) == embedder.data.validation_vehicles
    # The first stage's weight was chosen after the training (docs/reranker.md).
    reranker = load_as(RerankerExperimentConfig, CONFIGS / "reranker-new-cameras.yaml", ["shape.fusion=120"])
    assert RerankerExperimentConfig.model_validate(training.reranker.configuration) == reranker
