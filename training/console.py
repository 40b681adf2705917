"""What a person sees of a run: one progress bar a part, and the accuracy table at the end."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from training.embedder import Progress as Step


class ConsoleReporter:
    """Progress bars on a terminal, a line a part elsewhere."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
            console=console,
        )
        self._console = console
        self._task: TaskID | None = None

    def __enter__(self) -> ConsoleReporter:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def part(self, name: str) -> None:
        """A new part of the work begins."""
        if not self._console.is_terminal:
            self._console.print(name)
        self._task = self._progress.add_task(name, total=None, detail="")

    def training(self, progress: Step) -> None:
        """An embedder has made a step."""
        losses = "  ".join(f"{name} {value:.2f}" for name, value in progress.losses.items())
        self._show(progress.step, progress.steps, f"epoch {progress.epoch}  {losses}")

    def embedding(self, done: int, total: int) -> None:
        """Images have been embedded."""
        self._show(done, total, "images")

    def reranking(self, step: int, loss: float) -> None:
        """The re-ranker has made a step."""
        self._show(step, None, f"loss {loss:.3f}")

    def _show(self, done: int, total: int | None, detail: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, detail=detail)


def accuracy_table(results: dict[str, Any]) -> Table:
    """The table of `Run.measure`."""
    table = Table(title="Validation vehicles, both camera directions", title_justify="left")
    table.add_column("network")
    for name in ("mAP", "R1", "R5", "R10"):
        table.add_column(name, justify="right")
    for name, row in results.items():
        if "mAP" in row:
            table.add_row(name, *(f"{row[key]:.1f}" for key in ("mAP", "R1", "R5", "R10")))
    stage = results["second stage"]
    table.caption = f"queries won by the second stage: {stage['won']}, lost: {stage['lost']}"
    return table
