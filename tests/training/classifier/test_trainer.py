"""Classifiers on scikit-learn's digits, 8x8 in grey."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from models.vit import VitClassifier
from tests.training.small import Diary
from training.checkpoints.resume import Checkpoints
from training.classifier.trainer import ClassifierTrainer
from training.cli import app
from training.config.classifier import ClassifierConfig
from training.config.files import load_as
from training.datasets.classification import ClassificationData, LabelledImages
from training.datasets.image import DatasetError
from training.signals import StoppedError

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL: dict[str, Any] = {
    "batch": 32,
    "network": {"size": "0.5M", "patch": 2},
    "optimiser": {"epochs": 2, "warm_up": 0.5, "learning_rate": 2e-3},
    "augmentation": {"flip": 0, "pad": 1, "policy": "none", "mix": 0.5},
    "run": {"device": "cpu", "every": 1},
}


def digits(train: int = 320, test: int = 200) -> dict[str, Any]:
    found = load_digits()
    pixels = np.repeat((found.images * 15).astype(np.uint8)[..., None], 3, axis=3)
    labels = found.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    own, other = order[:train], order[train : train + test]
    return {
        "images_train": pixels[own],
        "labels_train": labels[own],
        "images_test": pixels[other],
        "labels_test": labels[other],
    }


def data(train: int = 320) -> ClassificationData:
    arrays = digits(train)
    parts = [LabelledImages(arrays[f"images_{part}"], arrays[f"labels_{part}"]) for part in ("train", "test")]
    return ClassificationData("digits", tuple("0123456789"), *parts)


def config(**changes: Any) -> ClassifierConfig:
    return ClassifierConfig.model_validate({**SMALL, **changes})


@pytest.mark.slow
def test_a_classifier_learns_digits() -> None:
    diary = Diary()
    chosen = config(
        optimiser={"epochs": 8, "warm_up": 1, "learning_rate": 3e-3},
        augmentation={**SMALL["augmentation"], "mix": 0, "erase": 0},
        run={"device": "cpu", "every": 0},
    )
    ClassifierTrainer(data(), chosen, observers=[diary]).run()
    assert diary.epochs[-1].measured["top-1"] > 25  # 10 by chance
    assert diary.epochs[-1].measured["top-5"] >= diary.epochs[-1].measured["top-1"]


@pytest.mark.slow
def test_a_resumed_training_comes_to_the_same_numbers_bit_for_bit(tmp_path: Path) -> None:
    whole = ClassifierTrainer(data(96), config()).run()
    diary = Diary(stop_after=2)
    checkpoints = Checkpoints(tmp_path, {})
    with pytest.raises(StoppedError):
        ClassifierTrainer(
            data(96), config(), checkpoints=checkpoints, observers=[diary], stop=diary.stop
        ).run()
    torch.manual_seed(7)
    again = ClassifierTrainer(data(96), config(), checkpoints=checkpoints).run()
    for (name, first), second in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(first, second), name


def test_too_few_images_for_a_batch_are_an_error() -> None:
    with pytest.raises(DatasetError, match="digits: 20 images make no batch of 32"):
        ClassifierTrainer(data(20), config())


@pytest.mark.slow
def test_the_command_trains_by_the_papers_file_and_reports(tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", **digits(96, 50))
    small = {
        "network.size": "0.5M",
        "network.patch": "2",
        "batch": "32",
        "optimiser.epochs": "1",
        "optimiser.warm_up": "0.5",
        "augmentation.pad": "1",
        "run.device": "cpu",
    }
    words = ["train", "classifier", "--config", str(CONFIGS / "lkca-cifar10.yaml")]
    words += ["--data", str(tmp_path / "digits.npz"), "--out", str(tmp_path / "run")]
    changes = [f"--set={key}={value}" for key, value in small.items()]
    found = CliRunner().invoke(app, [*words, *changes, "--json"])
    assert found.exit_code == 0, found.output
    metrics = json.loads((tmp_path / "run" / "report" / "metrics.json").read_text("utf-8"))
    assert metrics["data"]["images"] == 96
    answer = {"results": metrics["results"], "report": str(tmp_path / "run" / "report")}
    assert json.loads(found.stdout) == answer
    assert metrics["results"][0]["top-1"] == metrics["history"][-1]["measured"]["top-1"]
    network = VitClassifier(config().network.build(), (8, 8), 10)
    network.load_state_dict(load_file(tmp_path / "run" / "classifier.safetensors"), strict=True)
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 2
    assert "is finished" in again.output
    keys = CliRunner().invoke(app, ["train", "keys", "classifier"])
    assert "erase_aspect" in keys.output
    keys = CliRunner().invoke(app, ["train", "keys", "classifier", "--json"])
    assert "augmentation.erase_aspect" in {row["key"] for row in json.loads(keys.stdout)}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("lkca-[ct]*.yaml")), ids=lambda path: path.stem)
def test_the_papers_files_say_the_papers_recipe(path: Path) -> None:
    chosen = load_as(ClassifierConfig, path)
    rates, changes = chosen.optimiser, chosen.augmentation
    assert (rates.learning_rate, rates.weight_decay, rates.epochs, rates.warm_up) == (1e-3, 0.05, 100, 10)
    assert (chosen.batch, chosen.network.size) == (128, "base")
    assert (changes.erase, changes.erase_area, changes.erase_aspect) == (0.25, 0.4, 0.3)
    assert changes.policy == ("imagenet" if "tiny" in path.stem else "cifar10")
