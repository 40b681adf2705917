"""Trainings of a second stage that take seconds, on the images of `write_tree`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.training.small import Diary, experiment, merged
from training.config.embedder import ExperimentConfig
from training.config.reranker import RerankerExperimentConfig
from training.embedder.experiment import Sources
from training.reranker.experiment import RerankerExperiment

SMALL: dict[str, Any] = {
    "lists": {"candidates": 2},
    "training": {"steps": 12, "check_every": 4, "batch": 4, "learning_rate": 1e-3, "scale": 20},
    "shape": {"heads": 4},
    "checkpoint": {"vehicles": 2},
    "run": {"device": "cpu"},
    "bundle": {"export": False},
}


def config(**changes: Any) -> RerankerExperimentConfig:
    return RerankerExperimentConfig.model_validate(merged(SMALL, changes))


def embedder(**changes: Any) -> ExperimentConfig:
    fixed: dict[str, Any] = {
        "data": {"validation_vehicles": 2},
        "network": {"strips": 2, "strip_width": 16},
        "losses": {"strips": 1.0},
        "schedule": {"epochs": 2, "freeze": 0},
        "evaluation": {"every": 0, "hardest": 0},
    }
    return experiment(**merged(fixed, changes))


def made(
    data: Path, folder: Path, chosen: RerankerExperimentConfig | None = None, **options: Any
) -> RerankerExperiment:
    first = options.pop("first", embedder())
    reporter = options.pop("reporter", Diary())
    return RerankerExperiment(
        chosen or config(),
        first,
        Sources(data, None, "the command"),
        folder,
        reporter,
        stop=reporter.stop,
        **options,
    )
