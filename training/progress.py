"""Events of a training, and who receives them."""

from __future__ import annotations

import resource
from dataclasses import asdict, dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Progress:
    """What is known after a step.

    Attributes:
        step: made so far.
        steps: in all.
        losses: of the step, by name.
        epoch: from 1; 0 in a training without epochs.
        count: images of the step, or whatever `unit` says.
        learning_rate: after the step.
        unit: what `count` counts.
    """

    step: int
    steps: int
    losses: dict[str, float]
    epoch: int = 0
    count: int = 0
    learning_rate: float = 0.0
    unit: str = "images"


@dataclass(frozen=True)
class EpochRow:
    """What is known after an epoch.

    Attributes:
        epoch: from 1.
        epochs: in all.
        step: made so far.
        losses: by name, the mean over the epoch's steps.
        learning_rate: after the last step.
        images_per_second: over the steps of this epoch that this run has made.
        seconds: spent on them.
        memory_gib: most that this process has held: on the GPU where it computes there, else resident.
        measured: accuracy by name, where this epoch was measured.
        figures: what else is watched, by name.
        warnings: what a person should look at.
    """

    epoch: int
    epochs: int
    step: int
    losses: dict[str, float]
    learning_rate: float
    images_per_second: float
    seconds: float
    memory_gib: float
    measured: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**asdict(self), "warnings": list(self.warnings)}


@dataclass(frozen=True)
class CheckRow:
    """What is known when the validation loss of a re-ranker's training has been computed.

    Attributes:
        step: made so far.
        steps: in all.
        loss: mean over the steps since the last check.
        validation: ranking loss on the validation lists; None without any.
        learning_rate: after the last step.
        lists_per_second: of training, without the check.
        seconds: spent on it, in this run.
        memory_gib: as in `EpochRow`.
        figures: as in `EpochRow`.
        warnings: as in `EpochRow`.
    """

    step: int
    steps: int
    loss: float
    validation: float | None
    learning_rate: float
    lists_per_second: float
    seconds: float
    memory_gib: float
    figures: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {**asdict(self), "warnings": list(self.warnings)}


class Observer:
    """Receives the events of a training; each is ignored unless a subclass overrides its method."""

    def started(self, steps: int, done: int) -> None:
        """A training begins, or goes on after `done` of its steps."""

    def step(self, progress: Progress) -> None:
        """A step has been made."""

    def epoch(self, row: EpochRow) -> None:
        """An embedder's epoch has ended and is saved."""

    def check(self, row: CheckRow) -> None:
        """A re-ranker's validation loss has been computed, and the training is saved."""

    def finished(self) -> None:
        """The training has made its last step."""


class Reporter(Observer):
    """Receives the events of a whole run too: several trainings, and what is embedded between them."""

    def part(self, name: str) -> None:
        """A new part of the run begins."""

    def embedded(self, done: int, total: int) -> None:
        """Images of this part have been embedded."""


def memory_gib(device: torch.device) -> float:
    """Most memory held so far, GiB: on the GPU for a GPU, else resident in this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
