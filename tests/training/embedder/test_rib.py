"""RIB in a training: warm-up, refreshed centroids, checkpoints and figures; on DCS and on HCA (RIB-CA)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models.bundle import Bundle
from models.network import LKAReID
from models.shape import Branch, NetworkConfig
from tests.training.small import Diary, assert_same_weights, small_network, trainer, training
from training.cli import app
from training.config.embedder import TrainingConfig
from training.datasets.readers.manifest import read_manifest
from training.reporting.plots import draw_watched
from training.signals import StoppedError

CONFIG = Path(__file__).parents[3] / "configs" / "rib-vehicle-2cam.yaml"
BRANCHES = (
    Branch("dcs", "cross_entropy+triplet+ibb"),
    Branch("hca", "triplet+ibb"),
    Branch("conv", "triplet"),
)


def network() -> LKAReID:
    return small_network(12, shape=NetworkConfig(BRANCHES, width=4, depth=(1, 1, 1, 1), image_size=(32, 32)))


def rib(**losses: Any) -> TrainingConfig:
    return training(losses={"ibb_warm_up": 2, **losses})


def test_a_branch_learns_from_its_cross_entropy_alone_until_the_bound_joins(tree: Path) -> None:
    diary = Diary()
    made = trainer(read_manifest(tree), rib(), diary, network=network())
    made.run()
    names = [set(row.losses) for row in diary.epochs]
    assert names == [{"cross_entropy", "triplet"}] * 2 + [{"cross_entropy", "triplet", "ibb"}] * 2
    assert sorted(made.statistics) == [0, 1]
    assert [each.ended for each in made.statistics.values()] == [4, 4]


def test_bound_and_estimate_are_reported_from_the_second_epoch_on_and_drawn(
    tree: Path, tmp_path: Path
) -> None:
    diary = Diary()
    trainer(read_manifest(tree), rib(), diary, network=network()).run()
    names = {f"bottleneck {what} {branch}" for what in ("bound", "estimate") for branch in (1, 2)}
    assert [set(row.figures) for row in diary.epochs] == [{"channels 1"}, *[{"channels 1", *names}] * 3]
    for row in diary.epochs[1:]:
        for branch in (1, 2):
            assert row.figures[f"bottleneck estimate {branch}"] <= row.figures[f"bottleneck bound {branch}"]
    draw_watched(diary.epochs, tmp_path / "watched.png")
    assert (tmp_path / "watched.png").stat().st_size > 5000


def test_eta_0_measures_and_teaches_nothing_and_skips_the_warm_up(tree: Path) -> None:
    diary = Diary()
    trainer(read_manifest(tree), rib(ibb=0, ibb_estimate=False), diary, network=network()).run()
    assert all(set(row.losses) == {"cross_entropy", "triplet"} for row in diary.epochs)
    assert "bottleneck bound 1" in diary.epochs[-1].figures
    assert "bottleneck estimate 1" not in diary.epochs[-1].figures


@pytest.mark.parametrize("stopped_after", [6, 7], ids=["between epochs", "inside an epoch"])
def test_a_resumed_run_has_the_same_centroids_and_numbers(
    tree: Path, tmp_path: Path, stopped_after: int
) -> None:
    images, config = read_manifest(tree), rib()
    straight = Diary()
    expected = trainer(images, config, straight, network=network()).run()
    diary = Diary(stop_after=stopped_after)
    with pytest.raises(StoppedError):
        trainer(images, config, diary, tmp_path, network=network()).run()
    rest = Diary()
    found = trainer(images, config, rest, tmp_path, network=network()).run()
    assert_same_weights(found, expected)
    assert [row.figures for row in rest.epochs] == [
        row.figures for row in straight.epochs[-len(rest.epochs) :]
    ]


@pytest.mark.slow
def test_the_configuration_for_cpus_trains_reports_and_exports(tree: Path, tmp_path: Path) -> None:
    small = {
        "data.validation_vehicles": "4",
        "network.width": "4",
        "network.depth": "[1, 1, 1, 1]",
        "network.image_size": "[32, 32]",
        "network.strip_width": "16",
        "batch.vehicles": "4",
        "schedule.epochs": "3",
        "schedule.warm_up": "1",
        "losses.ibb_warm_up": "1",
    }
    run = tmp_path / "run"
    words = ["train", "embedder", "--config", str(CONFIG), "--data", str(tree), "--out", str(run)]
    found = CliRunner().invoke(app, [*words, *(f"--set={key}={value}" for key, value in small.items())])
    assert found.exit_code == 0, found.output
    report = run / "report"
    assert (report / "watched.png").is_file()
    history = json.loads((report / "metrics.json").read_text(encoding="utf-8"))["history"]
    assert "ibb" not in history[0]["losses"]
    assert "ibb" in history[1]["losses"]
    assert {"channels 2", "bottleneck bound 1", "bottleneck estimate 2"} <= history[2]["figures"].keys()
    assert "channels 2 0." in found.output
    network = Bundle.load(run / "bundle").manifest.network
    assert [branch["mixer"] for branch in network["branches"]] == ["hca", "dcs"]
