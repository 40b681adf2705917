"""Trainings small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.network import LKAReID, NetworkConfig
from training.checkpoints.resume import Snapshots
from training.config.embedder import ExperimentConfig, TrainingConfig
from training.datasets.image import VehicleImage
from training.embedder.trainer import Trainer
from training.progress import EpochRow, Progress
from training.signals import Interruption

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


class Diary:
    """Notes what a training tells; asks it to stop after a step if wanted."""

    def __init__(self, stop_after: int = 0) -> None:
        self.steps: list[Progress] = []
        self.epochs: list[EpochRow] = []
        self.interruption = Interruption()
        self._stop_after = stop_after

    def started(self, steps: int, done: int) -> None:
        pass

    def step(self, progress: Progress) -> None:
        self.steps.append(progress)
        if progress.step == self._stop_after:
            self.interruption.asked = True

    def epoch(self, row: EpochRow) -> None:
        self.epochs.append(row)

    def losses(self) -> list[dict[str, float]]:
        return [progress.losses for progress in self.steps]


def trainer(
    images: list[VehicleImage],
    config: TrainingConfig,
    diary: Diary,
    folder: Path | None = None,
    network: LKAReID | None = None,
) -> Trainer:
    snapshots = Snapshots(folder, config.model_dump(mode="json", exclude={"run"})) if folder else None
    return Trainer(
        network or small_network(),
        images,
        config,
        snapshots=snapshots,
        observers=[diary],
        interruption=diary.interruption,
    )


def assert_same_weights(first: LKAReID, second: LKAReID) -> None:
    """Equal bit for bit."""
    a, b = first.state_dict(), second.state_dict()
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []
