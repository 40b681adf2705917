"""What the training commands have in common: their options, and how an interrupted run ends."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from training.commands.progress import err, out

INTERRUPTED = 130

DataSet = Annotated[
    Path, typer.Option("--data", help="The data set: its folder, or its CSV manifest.", show_default=False)
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Published ResNet-50 weights of the layout that the embedder's configuration names "
        "(safetensors, or a .pth of tensors alone). Left out, training starts from nothing.",
        show_default=False,
    ),
]
RunFolder = Annotated[
    Path, typer.Option("--out", help="The run's folder: checkpoints, logs, report and bundle.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out, if one is there, to the same numbers.")
]


def interrupted(interruption: Exception, more: list[str]) -> typer.Exit:
    """Say how to go on, once where several processes were stopped, and give what ends the command.

    Args:
        interruption: says where it was stopped.
        more: words that the command needs in addition to go on.
    """
    if os.environ.get("RANK", "0") == "0":
        err.print(f"[yellow]{interruption}; all of it is saved.[/] Go on with:")
        err.print(f"  lka-reid {shlex.join([*sys.argv[1:], *more])}", soft_wrap=True, markup=False)
    return typer.Exit(INTERRUPTED)


def show(metrics: dict[str, Any], folder: Path) -> None:
    """Print what an experiment has come to."""
    from training.console import results_table

    if metrics["results"]:
        out.print(results_table(metrics["results"]))
    out.print(f"report   {folder / 'report'}", soft_wrap=True)
    if (folder / "bundle").is_dir():
        out.print(
            f"bundle   {folder / 'bundle'}   lka-reid serve --bundle {folder / 'bundle'}", soft_wrap=True
        )
