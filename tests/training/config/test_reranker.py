"""The second stage's configuration: what it must have, what it refuses, and the two that are published."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from models.reranker import RerankerConfig
from training.config.embedder import BundleConfig
from training.config.files import ConfigError, describe, load_as, write_config
from training.config.reranker import (
    HeadConfig,
    HeadTraining,
    RerankerExperimentConfig,
    RerankerShapeConfig,
    RerankerTraining,
    RerankerTrainingConfig,
)
from training.reranker.selection import FUSIONS

CONFIGS = Path(__file__).parents[3] / "configs"


def load(name: str, *changes: str) -> RerankerExperimentConfig:
    return load_as(RerankerExperimentConfig, CONFIGS / f"{name}.yaml", changes)


def test_every_option_of_shape_and_training_has_a_key() -> None:
    training = {field.name for field in dataclasses.fields(RerankerTraining)}
    assert set(RerankerTrainingConfig.model_fields) == training - {"candidates", "seed"}
    shape = {field.name for field in dataclasses.fields(RerankerConfig)}
    assert set(RerankerShapeConfig.model_fields) == shape - {"strip_width", "grid"}
    head = {field.name for field in dataclasses.fields(HeadTraining)}
    assert set(HeadConfig.model_fields) == head - {"seed"}


def test_what_is_written_is_read_back_the_same_and_explains_every_key(tmp_path: Path) -> None:
    config = load("reranker-vehicle-2cam", "training.learning_rate=1.23456789e-5")
    path = tmp_path / "config.yaml"
    path.write_text(write_config(config), encoding="utf-8")
    assert load_as(RerankerExperimentConfig, path) == config
    text = path.read_text(encoding="utf-8")
    for key, _, _, meaning in describe(RerankerExperimentConfig):
        assert meaning, key
        assert meaning in text
        assert re.search(rf"^ *{key.split('.')[-1]}:", text, re.MULTILINE)


def test_the_papers_experiment_is_its_recipe_and_the_defaults() -> None:
    config = load("reranker-paper")
    same = {"name"}
    assert config.model_dump(exclude=same) == RerankerExperimentConfig().model_dump(exclude=same)
    training = config.build()
    assert (training.learning_rate, training.weight_decay) == (1e-5, 1e-2)
    assert (training.beta, training.alpha, training.scale) == (0.1, 0.01, 1.0)
    assert (training.candidates, training.steps) == (30, 100_000)
    assert config.shape.build(256) == RerankerConfig()
    assert config.head.build(0) is None


def test_the_default_bundle_is_chosen_by_folds_and_stored_in_8_bits() -> None:
    config = load("reranker-vehicle-2cam")
    assert config.checkpoint.by == "folds"
    assert config.checkpoint.fusions == FUSIONS
    assert config.bundle == BundleConfig(precision="int8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lists.minning=own", "lists.minning: no such key; did you mean lists.mining?"),
        ("beta=1", "beta: no such key; did you mean training.beta?"),
        ("optimiser.name=sgd", "optimiser: no such key; `lka-reid train keys reranker` lists all keys"),
        ("lists.mining=leaky", "lists.mining: Input should be 'out-of-fold', 'augmented' or 'own'"),
        ("lists.folds=1", "lists.folds: Input should be greater than 1"),
        ("lists.mining=augmented", "lists: augmented mining has changed copies as probes; set views to 1"),
        ("training.check_every=999", "training: steps (100000) must be a multiple of check_every (999)"),
        (
            "head.parts=[2, 2]",
            "parts need a head of their own; set head.steps to 300 or so",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_the_nearest_key_named(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load("reranker-paper", change)


def test_folds_cannot_choose_where_there_are_none() -> None:
    with pytest.raises(ConfigError, match=r"checkpoint\.by folds needs folds, which own mining has not"):
        load("reranker-vehicle-2cam", "lists.mining=own")
