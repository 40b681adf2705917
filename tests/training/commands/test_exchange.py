"""`lka-reid exchange-reranker` on a bundle from each command."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bundle import DEFAULT_BUNDLE, Bundle
from models.manifest import BOTH_STAGES, FIRST_STAGE
from tests.training.commands.test_reranker import RERANKER
from tests.training.tiny import EMBEDDER
from training.cli import app

DEMO = Path(__file__).parents[3] / "service" / "demo"


def run(*words: str | Path) -> str:
    found = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "160"})
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture
def configs(tmp_path: Path) -> tuple[Path, Path]:
    """An embedder's and a re-ranker's configuration."""
    paths = tmp_path / "embedder.yaml", tmp_path / "reranker.yaml"
    for path, text in zip(paths, (EMBEDDER, RERANKER), strict=True):
        path.write_text(text.replace("export: false", "export: true"), encoding="utf-8")
    return paths


def exchanged(bundle: Path, data: Path, reranker: Path, tmp_path: Path) -> tuple[Bundle, Bundle]:
    """A bundle with an untrained second stage in the place of its own; the old one, the new one."""
    old = Bundle.load(bundle)
    words = ("--bundle", bundle, "--data", data, "--config", reranker, "--out", tmp_path / "exchanged")
    said = run("exchange-reranker", *words)
    new = Bundle.load(tmp_path / "exchanged")
    assert f"fingerprint {old.fingerprint[:12]}" in said
    assert new.fingerprint == old.fingerprint
    assert new.embedder.read_bytes() == old.embedder.read_bytes()
    assert new.reranker is not None
    assert new.explainer is not None
    assert old.reranker is None or new.reranker.read_bytes() != old.reranker.read_bytes()
    return old, new


def names(bundle: Bundle) -> list[str]:
    assert bundle.manifest.accuracy is not None
    return [row.name for row in bundle.manifest.accuracy.rows]


@pytest.mark.slow
def test_a_bundle_of_train_embedder_gets_a_second_stage(
    configs: tuple[Path, Path], tree: Path, tmp_path: Path
) -> None:
    run("train", "embedder", "--config", configs[0], "--data", tree, "--out", tmp_path / "run")
    old, new = exchanged(tmp_path / "run" / "bundle", tree, configs[1], tmp_path)
    assert names(old) == [FIRST_STAGE]
    assert names(new) == [FIRST_STAGE, BOTH_STAGES]
    assert old.manifest.accuracy is not None
    assert new.manifest.accuracy is not None
    first, again = old.manifest.accuracy.rows[0], new.manifest.accuracy.rows[0]
    assert again.mAP == pytest.approx(first.mAP)
    assert (again.task, again.protocol, again.queries) == (first.task, first.protocol, first.queries)


@pytest.mark.slow
def test_a_bundle_of_train_reranker_gets_another_second_stage(
    configs: tuple[Path, Path], tree: Path, tmp_path: Path
) -> None:
    words = ("--config", configs[1], "--embedder-config", configs[0], "--data", tree)
    run("train", "reranker", *words, "--out", tmp_path / "run", "--set", "checkpoint.by=last")
    old, new = exchanged(tmp_path / "run" / "bundle", tree, configs[1], tmp_path)
    assert names(old) == names(new) == [FIRST_STAGE, BOTH_STAGES]
    assert old.manifest.training is not None
    assert new.manifest.training is not None
    assert old.manifest.training.reranker is not None
    assert new.manifest.training.reranker is not None
    assert (old.manifest.training.reranker.trained, new.manifest.training.reranker.trained) == (True, False)
    assert new.manifest.training.held_out_vehicles == old.manifest.training.held_out_vehicles
    weights = tmp_path / "run" / "reranker.safetensors"
    out = tmp_path / "weighed"
    given = ("--bundle", old.path, "--data", tree, "--reranker", weights, "--fusion", "40")
    run("exchange-reranker", *given, "--out", out)
    weighed = Bundle.load(out).manifest
    assert weighed.reranker is not None
    assert old.manifest.reranker is not None
    assert weighed.reranker.config == {**old.manifest.reranker.config, "fusion": 40.0}


@pytest.mark.slow
def test_the_default_bundle_gets_another_second_stage(configs: tuple[Path, Path], tmp_path: Path) -> None:
    with (DEMO / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:12]
    shutil.copytree(DEMO / "images", tmp_path / "images")
    data = tmp_path / "few.csv"
    with data.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("path", "vehicle_id", "camera_id", "vehicle_type"))
        for row in rows:
            lines.writerow((row["path"], row["vehicle_id"], row["camera_id"], row["vehicle_type"]))
    old, new = exchanged(DEFAULT_BUNDLE, data, configs[1], tmp_path)
    assert names(new) == names(old)
    assert new.supersedes == old.supersedes
    assert new.manifest.accuracy is not None
    assert new.manifest.accuracy.rows[-1].queries == len(rows)
