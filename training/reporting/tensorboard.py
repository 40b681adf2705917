"""TensorBoard logs of a training."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from training.progress import CheckRow, EpochRow, Observer, Progress


class EventLog(Observer):
    """Writes every step's losses and every epoch's figures for `tensorboard --logdir`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def started(self, steps: int, done: int) -> None:  # noqa: ARG002 - an observer's signature
        """A training begins; what an earlier run has written after `done` steps counts no more."""
        self._writer = SummaryWriter(str(self._folder), purge_step=done + 1 if done else None)

    def step(self, progress: Progress) -> None:
        """A step has been made."""
        if self._writer is None:
            return
        for name, value in progress.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, progress.step)
        if progress.learning_rate:
            self._writer.add_scalar("learning rate", progress.learning_rate, progress.step)

    def epoch(self, row: EpochRow) -> None:
        """An epoch has ended."""
        if self._writer is None:
            return
        self._writer.add_scalar("images per second", row.images_per_second, row.step)
        self._writer.add_scalar("memory GiB", row.memory_gib, row.step)
        for name, value in row.measured.items():
            self._writer.add_scalar(f"accuracy/{name}", value, row.step)
        self._watch(row)
        self._writer.flush()

    def check(self, row: CheckRow) -> None:
        """A re-ranker's validation loss has been computed."""
        if self._writer is None:
            return
        if row.validation is not None:
            self._writer.add_scalar("loss/validation", row.validation, row.step)
        self._writer.add_scalar("learning rate", row.learning_rate, row.step)
        self._writer.add_scalar("lists per second", row.lists_per_second, row.step)
        self._writer.add_scalar("memory GiB", row.memory_gib, row.step)
        self._watch(row)
        self._writer.flush()

    def _watch(self, row: EpochRow | CheckRow) -> None:
        if self._writer is not None:
            for name, value in row.figures.items():
                self._writer.add_scalar(f"watched/{name}", value, row.step)

    def finished(self) -> None:
        """Write out what is left."""
        if self._writer is not None:
            self._writer.close()
