"""The course of a re-ranker's training: its history, kept in its snapshots, and told to observers.

`train_reranker` reports its steps and saves after every look at the validation loss; both are followed here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.checkpoints.resume import Snapshots
from training.config.reranker import RerankerTraining
from training.progress import CheckObserver, CheckRow, Progress, memory_gib


class Course:
    """What has been made of a training so far.

    Args:
        config: of the training.
        steps: that will be made.
        device: where it computes.
        observers: told of every step and every look.
    """

    def __init__(
        self, config: RerankerTraining, steps: int, device: torch.device, observers: Sequence[CheckObserver]
    ) -> None:
        self.config = config
        self.steps = steps
        self.device = device
        self.observers = observers
        self.history: list[CheckRow] = []
        self._sum, self._count = 0.0, 0
        self._made, self._begun, self._last = 0, 0.0, 0.0

    def begin(self, done: int = 0) -> None:
        """It begins, or goes on after `done` steps."""
        self._go_on()
        for observer in self.observers:
            observer.started(self.steps, done)

    def _go_on(self) -> None:
        self._made, self._begun = 0, time.perf_counter()
        self._last = self._begun

    def step(self, step: int, loss: float) -> None:
        """A step has been made: `train_reranker`'s report."""
        self._sum, self._count, self._made = self._sum + loss, self._count + 1, self._made + 1
        self._last = time.perf_counter()
        progress = Progress(0, step, self.steps, {"training": loss}, self.config.batch, unit="lists")
        for observer in self.observers:
            observer.step(progress)

    def saved(self, step: int, validation: float | None, learning_rate: float) -> None:
        """A snapshot is about to be made, after a look at the validation loss or on a wish to stop."""
        if step % self.config.check_every:
            return
        seconds = self._last - self._begun
        row = CheckRow(
            step=step,
            steps=self.steps,
            loss=self._sum / max(1, self._count),
            validation=validation,
            learning_rate=learning_rate,
            lists_per_second=self._made * self.config.batch / seconds if seconds else 0.0,
            seconds=seconds,
            memory_gib=memory_gib(self.device),
        )
        self.history.append(row)
        self._sum, self._count = 0.0, 0
        for observer in self.observers:
            observer.check(row)
        self._go_on()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types, for a snapshot."""
        history = [row.to_dict() for row in self.history]
        return {"history": history, "sum": self._sum, "count": self._count}

    def restore(self, values: dict[str, Any], done: int) -> None:
        """Go on from what `to_dict` gave after `done` steps."""
        self.history = [CheckRow(**row) for row in values["history"]]
        self._sum, self._count = values["sum"], values["count"]
        self.begin(done)


class CourseSnapshots(Snapshots):
    """Snapshots of a re-ranker's training that keep its course."""

    def __init__(self, folder: Path, settings: dict[str, Any], course: Course) -> None:
        super().__init__(folder, settings)
        self.course = course

    def save(self, step: int, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Write one, with the course up to here."""
        losses = dict(values["losses"])
        self.course.saved(step, losses.get(step), float(values["groups"][0]["lr"]))
        super().save(step, tensors, {**values, "course": self.course.to_dict()})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The newest one, with which the course goes on."""
        tensors, values = super().load()
        self.course.restore(values["course"], values["step"])
        return tensors, values
