"""What a person sees of a run: bars on a terminal, a line an epoch everywhere, and tables of accuracy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from models.manifest import Accuracy
from models.terminal import TitledTable
from training.progress import CheckRow, EpochRow, Reporter, memory_gib
from training.progress import Progress as Step

SHORT = {"cross_entropy": "ce", "triplet": "triplet", "descriptor": "desc", "strips": "strips", "ibb": "ibb"}
SMOOTHING = 0.9
WIDTH = 80
"""Letters of a line about a period."""


class ConsoleReporter(Reporter):
    """Progress bars on a terminal, a line a part and an epoch elsewhere."""

    def __init__(self, console: Console, device: Any = None) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("left", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("[dim]{task.fields[detail]}", table_column=Column(no_wrap=True)),
            console=console,
            disable=not console.is_terminal,
        )
        self._console = console
        self._device = device
        self._task: TaskID | None = None
        self._name = "training"
        self._training = False
        self._total = 0
        self._begun = (0.0, 0)
        self._last = 0.0
        self._speed = 0.0

    def __enter__(self) -> ConsoleReporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def part(self, name: str) -> None:
        """A new part of the run begins."""
        self._finish()
        self._training = False
        if not self._console.is_terminal:
            self._console.print(name, highlight=False)
        self._name = name
        self._task = self._progress.add_task(name, total=None, detail="")

    def started(self, steps: int, done: int) -> None:
        """A training begins, or goes on after `done` of its steps."""
        if self._task is None:
            self.part(self._name)
        self._training, self._total = True, steps
        self._begun = (time.perf_counter(), done)
        self._last, self._speed = time.perf_counter(), 0.0
        if self._task is not None:
            # Started anew, so that steps of an earlier run do not count as quick ones.
            self._progress.reset(self._task, total=steps, completed=done, detail="")

    def step(self, progress: Step) -> None:
        """A step has been made."""
        now = time.perf_counter()
        speed = progress.count / max(1e-9, now - self._last)
        self._speed = SMOOTHING * self._speed + (1 - SMOOTHING) * speed if self._speed else speed
        self._last = now
        # The parts of the loss are in the line of each epoch; a terminal's line has no room for them.
        loss = sum(progress.losses.values())
        epoch = f"epoch {progress.epoch}  " if progress.epoch else ""
        detail = f"{epoch}loss {loss:.3f}  {self._speed:.0f} {progress.unit}/s"
        if self._device is not None:
            detail += f"  {memory_gib(self._device):.1f} GiB"
        self._show(progress.step, progress.steps, detail)

    def epoch(self, row: EpochRow) -> None:
        """An epoch has ended."""
        left = self._left(row.step)
        width = len(str(row.epochs))
        self._line(
            f"epoch {row.epoch:>{width}}/{row.epochs}",
            *_losses(row.losses),
            f"lr {row.learning_rate:.1e}",
            f"{row.images_per_second:.0f} images/s",
            f"{row.memory_gib:.1f} GiB",
            f"left {_clock(left)}",
            *(f"{name} {value:.1f}" for name, value in row.measured.items()),
            *_figures(row.figures),
        )
        self._warn(row.warnings)

    def check(self, row: CheckRow) -> None:
        """A re-ranker's validation loss has been computed."""
        left = self._left(row.step)
        self._line(
            f"step {row.step:>{len(str(row.steps))}}/{row.steps}",
            f"loss {row.loss:.4f}",
            *([f"validation {row.validation:.4f}"] if row.validation is not None else []),
            f"lr {row.learning_rate:.1e}",
            f"{row.lists_per_second:.0f} lists/s",
            f"{row.memory_gib:.1f} GiB",
            f"left {_clock(left)}",
            *_figures(row.figures),
        )
        self._warn(row.warnings)

    def _line(self, *parts: str) -> None:
        """What is known after a period, broken into lines of at most `WIDTH` letters."""
        lines = [parts[0]]
        for part in parts[1:]:
            if len(lines[-1]) + 2 + len(part) <= WIDTH:
                lines[-1] += f"  {part}"
            else:
                lines.append(f"    {part}")
        for line in lines:
            self._console.print(line, highlight=False, soft_wrap=True)

    def _warn(self, warnings: Sequence[str]) -> None:
        for warning in warnings:
            self._console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)

    def _left(self, step: int) -> float:
        """Seconds that the rest will take, by the steps that this run has made."""
        self._last = time.perf_counter()
        since, done = self._begun
        made = step - done
        return (time.perf_counter() - since) / made * (self._total - step) if made else 0.0

    def embedded(self, done: int, total: int) -> None:
        """Images of this part have been embedded."""
        if self._training and self._task is not None:
            self._progress.update(self._task, detail=f"measuring, {done}/{total} images")
        else:
            self._show(done, total, "images")

    def _show(self, done: int, total: int | None, detail: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, detail=detail)

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.stop_task(self._task)


def _losses(losses: dict[str, float]) -> list[str]:
    return [f"{SHORT.get(name, name)} {value:.3f}" for name, value in losses.items()]


def _figures(figures: dict[str, float]) -> list[str]:
    return [f"{name} {value:.3f}" for name, value in figures.items()]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def accuracy_table(accuracy: Accuracy) -> Table:
    """A bundle's accuracy, a line for each row of its manifest."""
    table = TitledTable(f"Accuracy on {escape(accuracy.measured_on)}", box=box.SIMPLE_HEAD, pad_edge=False)
    several = len({row.task for row in accuracy.rows}) > 1
    ranks = sorted({rank for row in accuracy.rows for rank in row.cmc})
    table.add_column("measured")
    for name in ("queries", "mAP", *(f"R{rank}" for rank in ranks), "mINP"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in accuracy.rows:
        values = (row.mAP, *(row.cmc.get(rank) for rank in ranks), row.mINP)
        table.add_row(
            f"{row.task}, {row.name}" if several else row.name,
            f"{row.queries:,}",
            *("" if value is None else f"{value:.1f}" for value in values),
        )
    table.caption = "\n".join(
        f"{row.task}: the second stage made {row.won} first matches correct and {row.lost} wrong"
        for row in accuracy.rows
        if row.won is not None
    )
    return table


def results_table(rows: list[dict[str, Any]]) -> Table:
    """The results of an experiment, a line for each task and way."""
    figures = [key for key in rows[0] if key not in ("row", "task", "queries", "gallery")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0))
    table.add_column("measured", no_wrap=True)
    for name in ("queries", "gallery", *figures):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        values = [f"{row[name]:.2f}" for name in figures]
        table.add_row(f"{row['task']}, {row['row']}", f"{row['queries']:,}", f"{row['gallery']:,}", *values)
    return table
