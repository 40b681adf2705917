"""What is known of a training while it runs, and who is told."""

from __future__ import annotations

import resource
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Progress:
    """What is known after a step: epoch and step count from 1, losses by name.

    `epoch` is 0 in a training that knows none; `images` are those of the step, or whatever `unit` says.
    """

    epoch: int
    step: int
    steps: int
    losses: dict[str, float]
    images: int = 0
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

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class CheckRow:
    """What is known of a re-ranker's training when the validation loss has been looked at.

    Attributes:
        step: made so far.
        steps: in all.
        loss: mean over the steps since the last look.
        validation: ranking loss on the validation lists; None without any.
        learning_rate: after the last step.
        lists_per_second: of training, without the look.
        seconds: spent on it, in this run.
        memory_gib: as in `EpochRow`.
    """

    step: int
    steps: int
    loss: float
    validation: float | None
    learning_rate: float
    lists_per_second: float
    seconds: float
    memory_gib: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


class CheckObserver(Protocol):
    """Who is told how far a re-ranker's training is."""

    def started(self, steps: int, done: int) -> None:
        """It begins, or goes on after `done` of its steps."""

    def step(self, progress: Progress) -> None:
        """A step has been made."""

    def check(self, row: CheckRow) -> None:
        """The validation loss has been looked at."""


class Observer(Protocol):
    """Who is told how far a training is."""

    def started(self, steps: int, done: int) -> None:
        """It begins, or goes on after `done` of its steps."""

    def step(self, progress: Progress) -> None:
        """A step has been made."""

    def epoch(self, row: EpochRow) -> None:
        """An epoch has ended."""


def memory_gib(device: torch.device) -> float:
    """Most memory held so far, GiB: on the GPU for a GPU, else resident in this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
