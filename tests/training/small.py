"""Trainings small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.network import LKAReID
from models.shape import NetworkConfig
from training.checkpoints.resume import Checkpoints
from training.config.embedder import ExperimentConfig, TrainingConfig
from training.datasets.image import VehicleImage
from training.embedder.trainer import Trainer
from training.progress import CheckRow, EpochRow, Progress, Reporter
from training.signals import StopRequest

SHAPE = {"width": 4, "depth": [1, 1, 1, 1], "image_size": [32, 32]}
SMALL = {
    "batch": {"vehicles": 4, "images": 2, "epoch": "vehicles"},
    "schedule": {"epochs": 4, "warm_up": 1, "freeze": 1, "milestones": [2, 3]},
    "augmentation": {"crop": 0.1, "colour": 0.2, "shrink": 0.3},
    "run": {"device": "cpu", "precision": "fp32", "workers": 0},
}


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """`first` with what `second` says, section by section."""
    out = dict(first)
    for key, value in second.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and key in out else value
    return out


def training(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(merged(SMALL, changes))


def experiment(**changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate(merged({**SMALL, "network": SHAPE}, changes))


def small_network(
    identities: int = 12, *, shape: NetworkConfig | None = None, viewpoints: int = 0
) -> LKAReID:
    torch.manual_seed(0)
    return LKAReID(
        shape or NetworkConfig(width=4, depth=(1, 1, 1, 1), image_size=(32, 32)), identities, viewpoints
    )


class Diary(Reporter):
    """Notes the events of a run; asks it to stop after a step if wanted.

    Args:
        stop_after: step.
        training: that the step belongs to, from 1; 0 for any.
        unit: of that training; empty for any.
    """

    def __init__(self, stop_after: int = 0, *, training: int = 0, unit: str = "") -> None:
        self.parts: list[str] = []
        self.beginnings: list[tuple[int, int]] = []
        self.steps: list[Progress] = []
        self.epochs: list[EpochRow] = []
        self.checks: list[CheckRow] = []
        self.endings = 0
        self.stop = StopRequest()
        self._stop_after, self._training, self._unit = stop_after, training, unit

    def part(self, name: str) -> None:
        self.parts.append(name)

    def started(self, steps: int, done: int) -> None:
        self.beginnings.append((steps, done))

    def step(self, progress: Progress) -> None:
        self.steps.append(progress)
        if (
            progress.step == self._stop_after
            and self._training in (0, len(self.beginnings))
            and self._unit in ("", progress.unit)
        ):
            self.stop.made = True

    def epoch(self, row: EpochRow) -> None:
        self.epochs.append(row)

    def check(self, row: CheckRow) -> None:
        self.checks.append(row)

    def finished(self) -> None:
        self.endings += 1

    def losses(self) -> list[dict[str, float]]:
        return [progress.losses for progress in self.steps]


def trainer(
    images: list[VehicleImage],
    config: TrainingConfig,
    diary: Diary,
    folder: Path | None = None,
    network: LKAReID | None = None,
    *,
    from_bundle: bool = False,
) -> Trainer:
    checkpoints = Checkpoints(folder, config.model_dump(mode="json", exclude={"run"})) if folder else None
    return Trainer(
        network or small_network(),
        images,
        config,
        from_bundle=from_bundle,
        checkpoints=checkpoints,
        observers=[diary],
        stop=diary.stop,
    )


def assert_same_weights(first: LKAReID, second: LKAReID) -> None:
    """Equal bit for bit."""
    a, b = first.state_dict(), second.state_dict()
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []
