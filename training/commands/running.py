"""What the training commands have in common: their options, and how an interrupted run ends."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.commands.progress import err, out, refuse

if TYPE_CHECKING:
    import torch

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


@contextmanager
def ending(*more: str) -> Iterator[None]:
    """End a command that cannot go on: one that was stopped by saying how to, one at fault by saying why.

    Args:
        more: words that the command needs in addition to go on after it was stopped.
    """
    from models.bundle import BundleError
    from training.checkpoints.pretrained import WeightsError
    from training.checkpoints.resume import SnapshotError
    from training.checkpoints.weights import CheckpointError
    from training.config.files import ConfigError
    from training.datasets.image import DatasetError
    from training.distributed import ProcessError
    from training.export.bundle import ExportError
    from training.features.store import FeatureStoreError
    from training.signals import InterruptedRunError

    try:
        yield
    except InterruptedRunError as error:
        # Once, where several processes were stopped.
        if os.environ.get("RANK", "0") == "0":
            err.print(f"[yellow]{error}; all of it is saved.[/] Go on with:")
            err.print(f"  lka-reid {shlex.join([*sys.argv[1:], *more])}", soft_wrap=True, markup=False)
        raise typer.Exit(INTERRUPTED) from None
    except (
        BundleError,
        CheckpointError,
        ConfigError,
        DatasetError,
        ExportError,
        FeatureStoreError,
        FloatingPointError,
        ProcessError,
        SnapshotError,
        WeightsError,
    ) as error:
        raise refuse(error) from None


def advise(precision: str, device: torch.device) -> None:
    """Say so where the precision that is set is slower than float32 on this machine."""
    from training.distributed import emulates_bf16

    if precision == "bf16" and emulates_bf16(device):
        err.print(
            "[yellow]This CPU does not compute in bf16:[/] --set run.precision=fp32 is about three times as "
            "fast here (and another run: its numbers differ).",
            soft_wrap=True,
        )


def show(metrics: dict[str, Any], folder: Path) -> None:
    """Print what an experiment has come to."""
    from training.reporting.terminal import results_table

    if metrics["results"]:
        out.print(results_table(metrics["results"]))
    out.print(f"report   {folder / 'report'}", soft_wrap=True)
    if (folder / "bundle").is_dir():
        out.print(
            f"bundle   {folder / 'bundle'}   lka-reid serve --bundle {folder / 'bundle'}", soft_wrap=True
        )
