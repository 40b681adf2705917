from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.terminal import widen
from tests.training.small import assert_same_weights
from training.checkpoints.weights import load_embedder
from training.cli import app

ROOT = Path(__file__).parents[3]
TINY = """
name: tiny
data: {validation_vehicles: 4}
network: {width: 4, depth: [1, 1, 1, 1], image_size: [32, 32]}
batch: {vehicles: 4, images: 2, epoch: vehicles}
schedule: {epochs: 3, warm_up: 1, freeze: 0, milestones: [2]}
run: {device: cpu, precision: fp32, workers: 0}
evaluation: {every: 2}
bundle: {export: false}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


def train(config: Path, tree: Path, out: Path, *more: str) -> list[str]:
    return ["train", "embedder", "--config", str(config), "--data", str(tree), "--out", str(out), *more]


@pytest.mark.slow
def test_a_training_prints_a_line_an_epoch_and_the_accuracy(config: Path, tree: Path, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, train(config, tree, tmp_path / "run"))
    assert found.exit_code == 0, found.output
    lines = [line for line in found.output.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 3
    assert re.match(r"epoch 2/3  ce [\d.]+  triplet [\d.]+  lr [\d.e-]+  \d+ images/s  [\d.]+ GiB", lines[1])
    assert re.search(r"left 0:00:\d\d\s+mAP [\d.]+", found.output)
    assert all(len(line) <= 80 for line in lines)
    assert "validation vehicles, as served" in found.output
    assert "report" in found.output


def test_an_unknown_key_ends_with_one_line_that_names_the_nearest(
    config: Path, tree: Path, tmp_path: Path
) -> None:
    arguments = train(config, tree, tmp_path / "run", "--set", "optimizer.learning_rate=1")
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 2
    assert "did you mean optimiser?" in found.output
    assert "Traceback" not in found.output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_data_of_one_camera_is_refused_before_the_first_step_and_trained_on_as_advised(
    config: Path, tree: Path, tmp_path: Path
) -> None:
    text = tree.read_text(encoding="utf-8")
    tree.write_text(text.replace(",cam2,", ",cam1,"), encoding="utf-8")
    found = CliRunner().invoke(app, train(config, tree, tmp_path / "run"))
    assert found.exit_code == 2
    assert "all images are from camera cam1" in found.output
    assert not (tmp_path / "run").exists()

    tree.write_text(text.replace("camera_id", "lens"), encoding="utf-8")
    once = ("--set", "schedule.epochs=1", "--set", "schedule.warm_up=0.5")
    found = CliRunner().invoke(app, train(config, tree, tmp_path / "without-cameras", *once))
    assert found.exit_code == 0, found.output

    rows = text.replace(",cam2,", ",cam1,").splitlines()
    lines = [f"{row},{'train' if number else 'role'}" for number, row in enumerate(rows)]
    tree.write_text("\n".join(lines), encoding="utf-8")
    nothing_measured = (*once, "--set", "data.validation_vehicles=0")
    found = CliRunner().invoke(app, train(config, tree, tmp_path / "unmeasured", *nothing_measured))
    assert found.exit_code == 0, found.output

    tree.write_text(text.replace(",cam2,", ",cam1,"), encoding="utf-8")
    unmeasured = (*once, "--set", "data.measured=false")
    found = CliRunner().invoke(app, train(config, tree, tmp_path / "not-measured", *unmeasured))
    assert found.exit_code == 0, found.output


def test_a_broken_image_ends_a_training_before_its_first_step(
    config: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widen(monkeypatch)
    (tree.parent / "v03_cam2.png").write_bytes(b"no image")
    found = CliRunner().invoke(app, train(config, tree, tmp_path / "run"))
    assert found.exit_code == 2
    assert "v03_cam2.png" in found.output
    assert "data.unreadable=skip" in found.output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_summary_is_for_people_or_for_programs() -> None:
    summary = json.loads(CliRunner().invoke(app, ["summary", "--json"]).stdout)
    assert {row["name"] for row in summary["networks"]} >= {"baseline (MBR-4B)", "+ LKA + HCA"}
    assert {row["config"]["attention"] for row in summary["classifiers"]} >= {"lkca"}
    shown = CliRunner().invoke(app, ["summary"], env={"COLUMNS": "120"}).output
    for row in summary["networks"]:
        assert f"{row['parameters']:,}" in shown


def test_all_keys_are_listed() -> None:
    found = CliRunner().invoke(app, ["train", "keys"], env={"COLUMNS": "160"})
    assert found.exit_code == 0
    for key in ("optimiser.learning_rate", "network.side_information", "losses.margin", "weights.sha256"):
        assert key in found.output


@pytest.mark.slow
def test_an_ablation_writes_its_table(config: Path, tree: Path, tmp_path: Path) -> None:
    arguments = ["ablation", "--config", str(config), "--data", str(tree), "--out", str(tmp_path / "a")]
    arguments += ["--row", "baseline", "--row", "both", "--seeds", "2", "--folds", "2", "--epochs", "2"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    again = CliRunner().invoke(app, [*arguments, "--json"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == json.loads((tmp_path / "a" / "table.json").read_text(encoding="utf-8"))
    table = (tmp_path / "a" / "table.md").read_text(encoding="utf-8")
    assert "| + LKA + HCA | lka, lka, hca, hca |" in table
    assert "2 of 2 identity folds" in table
    assert "32x32 px, width 4, depth 1, 1, 1, 1, 2 epochs, from nothing" in table


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_ctrl_c_saves_says_how_to_go_on_and_loses_nothing(config: Path, tree: Path, tmp_path: Path) -> None:
    more = ("--set", "schedule.epochs=24")
    command = [sys.executable, "-m", "service.cli"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    out = tmp_path / "run"
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *train(config, tree, out, *more)], stdout=file, stderr=file, env=environment
        )
        try:
            until = time.monotonic() + 240
            while b"epoch  3/24" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) == 130, log.read_text()
        finally:
            process.kill()
            process.wait()
    said = log.read_text()
    assert "all of it is saved" in said
    assert "Traceback" not in said
    again = said.splitlines()[-1].split()
    assert again[0] == "lka-reid"
    assert again[-1] == "--resume"
    assert CliRunner().invoke(app, again[1:]).exit_code == 0
    assert CliRunner().invoke(app, train(config, tree, tmp_path / "straight", *more)).exit_code == 0
    assert_same_weights(
        load_embedder(out / "embedder.safetensors"),
        load_embedder(tmp_path / "straight" / "embedder.safetensors"),
    )
