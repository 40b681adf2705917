"""Progress bars of the training commands, and how an error ends one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from models.terminal import err, kind_of, print_error

Counted = Callable[[int], None]
"""Receives how much is done."""


class Bars:
    """One progress bar after the other."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def start(self, name: str, total: int) -> Counted:
        """Begin a part of the work; what is returned is called with the number done."""
        task = self._progress.add_task(name, total=total)
        return lambda done: self._progress.update(task, completed=done)


@contextmanager
def bars() -> Iterator[Bars]:
    """Progress bars on stderr with count, time spent and time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as progress:
        yield Bars(progress)


def refuse(error: Exception) -> typer.Exit:
    """Print an error and return the exception that ends the command with status 2."""
    print_error(str(error), kind=kind_of(error))
    return typer.Exit(2)
