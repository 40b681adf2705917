from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from models.bundle import Bundle
from models.manifest import FIRST_STAGE
from tests.training.small import Diary, assert_same_weights, experiment
from training.checkpoints.resume import ResumeError
from training.checkpoints.weights import load_embedder
from training.config.embedder import ExperimentConfig
from training.config.files import load_config
from training.datasets.image import DatasetError
from training.embedder.experiment import Experiment, Sources
from training.embedder.run import new_embedder
from training.progress import Reporter
from training.reporting.provenance import command
from training.signals import StoppedError, StopRequest

CHANGES: dict[str, Any] = {
    "data": {"validation_vehicles": 4},
    "schedule": {"epochs": 2, "freeze": 0},
    "evaluation": {"every": 1, "hardest": 3},
    "bundle": {"export": False},
}


def run(config: ExperimentConfig, data: Path, folder: Path, **options: Any) -> dict[str, Any]:
    return Experiment(config, Sources(data, None, "the command"), folder, Reporter()).run(**options)


@pytest.mark.slow
def test_a_run_leaves_configuration_weights_logs_and_report(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = experiment(**CHANGES)
    metrics = run(config, tree, folder)
    assert load_config(folder / "config.yaml") == config
    assert load_embedder(folder / "embedder.safetensors").config == config.network.build()
    assert list((folder / "tensorboard").iterdir())
    assert not (folder / "checkpoint").exists()
    for name in ("curves.png", "cmc.png", "hardest.png"):
        with Image.open(folder / "report" / name) as figure:
            assert min(figure.size) > 200
    kept = json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert kept == metrics
    (row,) = kept["results"]
    assert (row["row"], row["queries"], row["gallery"]) == ("as served", 8, 8)
    assert 0 <= row["mAP"] <= 100
    assert kept["command"] == "the command"
    assert kept["data"]["vehicles"] == 8
    assert {"commit", "versions", "machine", "configuration", "history", "weights"} <= kept.keys()
    assert [epoch["epoch"] for epoch in kept["history"]] == [1, 2]
    assert "mAP" in kept["history"][0]["measured"]


@pytest.mark.slow
def test_an_interrupted_experiment_is_resumed_to_the_same_weights(tree: Path, tmp_path: Path) -> None:
    config = experiment(**CHANGES)
    run(config, tree, tmp_path / "straight")
    reporter = Diary(stop_after=1)
    broken = Experiment(
        config,
        Sources(tree, None),
        tmp_path / "broken",
        reporter,
        stop=reporter.stop,
    )
    with pytest.raises(StoppedError):
        broken.run()
    with pytest.raises(ResumeError, match="holds a run; add --resume"):
        run(config, tree, tmp_path / "broken")
    run(config, tree, tmp_path / "broken", resume=True)
    assert_same_weights(
        load_embedder(tmp_path / "broken" / "embedder.safetensors"),
        load_embedder(tmp_path / "straight" / "embedder.safetensors"),
    )
    with pytest.raises(ResumeError, match="the run in it is finished"):
        run(config, tree, tmp_path / "broken", resume=True)


class StoppedIn(Diary):
    """Asks a run to stop when a part of it begins."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def part(self, name: str) -> None:
        super().part(name)
        self.stop.made = self.stop.made or name == self._name


@pytest.mark.slow
@pytest.mark.parametrize("part", ["estimating the projection", "measuring"])
def test_what_was_learned_is_kept_where_a_run_is_stopped_after_its_last_step(
    part: str, tree: Path, tmp_path: Path
) -> None:
    evaluation = {"every": 0, "batch": 2}
    config = experiment(**{**CHANGES, "evaluation": evaluation, "projection": {"directions": 3, "views": 1}})
    reporter = StoppedIn(part)
    with pytest.raises(StoppedError, match=r"stopped after embedding \d+ of \d+ images"):
        Experiment(config, Sources(tree, None), tmp_path / "run", reporter, stop=reporter.stop).run()
    assert reporter.parts[-1] == part
    resumed = Diary()
    metrics = Experiment(config, Sources(tree, None), tmp_path / "run", resumed).run(resume=True)
    assert resumed.steps == [], "nothing is learned again"
    assert [epoch["epoch"] for epoch in metrics["history"]] == [1, 2]


@pytest.mark.slow
def test_how_the_machine_is_used_may_change_between_the_parts_of_a_run(tree: Path, tmp_path: Path) -> None:
    config = experiment(**CHANGES)
    reporter = Diary(stop_after=1)
    with pytest.raises(StoppedError):
        Experiment(config, Sources(tree, None), tmp_path / "a", reporter, stop=reporter.stop).run()
    moved = config.model_copy(update={"run": config.run.model_copy(update={"cache": True})})
    run(moved, tree, tmp_path / "a", resume=True)


@pytest.mark.slow
def test_the_bundle_sees_what_the_training_saw(tree: Path, tmp_path: Path) -> None:
    config = experiment(**{**CHANGES, "bundle": {"export": True, "precision": "int8"}, "name": "mine"})
    run(config, tree, tmp_path / "run")
    manifest = Bundle.load(tmp_path / "run" / "bundle").manifest
    assert manifest.name == "mine"
    assert manifest.input.mean == (0.5, 0.5, 0.5)
    assert manifest.training is not None
    assert manifest.training.embedder == config.model_dump(mode="json")
    assert manifest.accuracy is not None
    assert [row.name for row in manifest.accuracy.rows] == [FIRST_STAGE]


def test_data_without_a_split_needs_a_number_of_vehicles(tree: Path, tmp_path: Path) -> None:
    config = experiment(**{**CHANGES, "data": {"validation_vehicles": 0}})
    with pytest.raises(DatasetError, match=r"set data\.validation_vehicles"):
        run(config, tree, tmp_path / "run")


@pytest.mark.slow
def test_without_cameras_it_is_judged_by_recall_at_k(tree: Path, tmp_path: Path) -> None:
    lines = tree.read_text(encoding="utf-8").splitlines()
    bare = tree.with_name("classes.csv")
    bare.write_text("\n".join(",".join(line.split(",")[:2]) for line in lines) + "\n", encoding="utf-8")
    metrics = run(experiment(**CHANGES), bare, tmp_path / "run")
    assert {"Recall@1", "Recall@2", "Recall@4", "Recall@8"} <= metrics["results"][0].keys()
    assert "R1" not in metrics["results"][0]


@pytest.mark.slow
def test_side_information_is_measured_with_it_and_as_served(tree: Path, tmp_path: Path) -> None:
    config = experiment(**CHANGES, network={"side_information": "camera"})
    metrics = run(config, tree, tmp_path / "run")
    assert [row["row"] for row in metrics["results"]] == ["as served", "with side information"]


def test_a_command_is_kept_without_this_machines_folders() -> None:
    words = ["train", "embedder", "--data", "/home/me/my data", "--out", "runs/x", "--set", "seed=1"]
    assert command(words) == "lka-reid train embedder --data 'my data' --out runs/x --set seed=1"
    named = ["study-attention", "--embedders", "plain=/home/me/runs/a*.safetensors", "--set", "a=b"]
    assert command(named) == "lka-reid study-attention --embedders 'plain=a*.safetensors' --set a=b"


def test_nobody_is_asked_to_stop_by_default() -> None:
    assert not StopRequest().made


@pytest.mark.slow
def test_a_further_data_set_is_learned_from_and_not_measured_on(tree: Path, tmp_path: Path) -> None:
    config = experiment(**CHANGES)
    further = tmp_path / "rendered"
    further.mkdir()
    for image in tree.parent.glob("v*.png"):
        (further / image.name).write_bytes(image.read_bytes())
    (further / "manifest.csv").write_bytes(tree.read_bytes())
    sources = Sources(tree, None, "", further)
    metrics = Experiment(config, sources, tmp_path / "run", Reporter()).run()
    assert metrics["data"]["name"] == "manifest + rendered"
    assert metrics["data"]["vehicles"] == 8 + 12
    (row,) = metrics["results"]
    assert (row["queries"], row["gallery"]) == (8, 8)


@pytest.mark.slow
def test_a_bundle_is_measured_and_served_at_the_size_that_is_asked_for(tree: Path, tmp_path: Path) -> None:
    shape = {"branches": [{"mixer": "lka", "loss": "triplet"}, {"mixer": "hca", "loss": "triplet"}]}
    plain = {**CHANGES, "network": shape}
    large = {**plain, "bundle": {"export": True, "image_size": [48, 64]}}
    trained = run(experiment(**plain), tree, tmp_path / "plain")
    served = run(experiment(**large), tree, tmp_path / "large")
    assert_same_weights(
        *(load_embedder(tmp_path / name / "embedder.safetensors") for name in ("plain", "large"))
    )
    assert trained["results"] != served["results"]
    bundle = Bundle.load(tmp_path / "large" / "bundle")
    assert (bundle.manifest.input.height, bundle.manifest.input.width) == (48, 64)
    assert bundle.manifest.network["image_size"] == [48, 64]


@pytest.mark.slow
def test_a_projection_is_estimated_after_the_training_and_is_part_of_the_network(
    tree: Path, tmp_path: Path
) -> None:
    shape = {"branches": [{"mixer": "lka", "loss": "triplet"}, {"mixer": "hca", "loss": "triplet"}]}
    plain = {**CHANGES, "network": shape, "bundle": {"export": False}}
    run(experiment(**plain), tree, tmp_path / "plain")
    run(experiment(**plain, projection={"directions": 3, "views": 1}), tree, tmp_path / "projected")
    before, after = (
        load_embedder(tmp_path / name / "embedder.safetensors") for name in ("plain", "projected")
    )
    assert after.projection is not None
    lengths = after.projection.directions.norm(dim=0)
    assert lengths.shape == (3,)
    assert ((lengths > 0) & (lengths < 1)).all()
    kept = {key: value for key, value in after.state_dict().items() if key != "projection.directions"}
    assert kept.keys() == before.state_dict().keys()
    assert all(torch.equal(kept[key], value) for key, value in before.state_dict().items())


def test_a_training_of_no_epochs_keeps_the_weights_that_it_starts_from(tree: Path, tmp_path: Path) -> None:
    config = experiment(**{**CHANGES, "schedule": {"epochs": 0}, "bundle": {"export": False}})
    run(config, tree, tmp_path / "run")
    kept = load_embedder(tmp_path / "run" / "embedder.safetensors")
    assert_same_weights(kept, new_embedder(config, 0, None))


def test_a_served_size_is_in_multiples_of_16_px() -> None:
    with pytest.raises(ValueError, match=r"bundle\.image_size must be multiples of 16 px"):
        experiment(bundle={"image_size": [100, 160]})
