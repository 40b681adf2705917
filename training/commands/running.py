"""What the training commands have in common: their options, how they run, and how a stopped run ends."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.terminal import JSON_HELP, err, out
from training.commands.progress import refuse

if TYPE_CHECKING:
    import torch

    from models.manifest import Manifest
    from training.distributed import Process
    from training.embedder.experiment import Sources
    from training.progress import Reporter
    from training.reporting.shift_tables import FigureTable
    from training.signals import StopRequest

STOPPED = 130
CONFIGS = Path(__file__).parents[2] / "configs"
START_CONFIG = CONFIGS / "vehicle-2cam.yaml"
EMBEDDER_CONFIG = CONFIGS / "new-cameras.yaml"
OWN_CONFIG = CONFIGS / "own.yaml"
RERANKER_CONFIG = CONFIGS / "reranker-new-cameras.yaml"

DataSet = Annotated[
    Path, typer.Option("--data", help="The data set: its folder, or its CSV manifest.", show_default=False)
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Published ResNet-50 weights of the layout that the embedder's configuration names "
        "(safetensors, or a .pth of tensors alone); or, where it names the layout `bundle`, a bundle's "
        "embedder.onnx. Left out, training starts from nothing.",
        show_default=False,
    ),
]
Further = Annotated[
    Path | None,
    typer.Option(
        "--further",
        help="A second data set to learn from; the configuration's data.further says which part of it.",
        show_default=False,
    ),
]
Folds = Annotated[
    int, typer.Option(min=1, help="Parts of the vehicles, each measured once; 1: the data's own split.")
]
OnlyFolds = Annotated[
    int | None, typer.Option(min=1, help="Run just the first of the folds.", show_default=False)
]
RunFolder = Annotated[
    Path, typer.Option("--out", help="The run's folder: checkpoints, logs, report and bundle.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out, if one is there, to the same numbers.")
]
Json = Annotated[bool, typer.Option("--json", help=JSON_HELP)]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one key of the configuration, for instance seed=1; may be repeated. "
        "`lka-reid train keys` lists all keys.",
        show_default=False,
    ),
]


@contextmanager
def ending(*more: str, writes: Sequence[Path] = ()) -> Iterator[None]:
    """End a command that cannot go on: after a stop print how to resume it, after an error print the error.

    Args:
        more: words that the command needs in addition when it is resumed.
        writes: files and folders that the command writes; it ends at once where it cannot.
    """
    from models.bundle import BundleError
    from models.runtimes.forward import RuntimeNotAvailableError
    from training.atomic import OutputError, require_writable
    from training.checkpoints.resume import ResumeError
    from training.checkpoints.weights import WeightsError
    from training.config.files import ConfigError
    from training.datasets.image import DatasetError
    from training.distributed import ProcessError
    from training.export.errors import ExportError
    from training.features.store import FeatureStoreError
    from training.signals import StoppedError

    try:
        require_writable(*writes)
        yield
    except StoppedError as error:
        # Once, where several processes were stopped.
        if os.environ.get("RANK", "0") == "0":
            err.print(f"[yellow]{error}; {error.kept}.[/] Go on with:")
            err.print(f"  lka-reid {shlex.join([*sys.argv[1:], *more])}", soft_wrap=True, markup=False)
        raise typer.Exit(STOPPED) from None
    except (
        BundleError,
        ConfigError,
        DatasetError,
        ExportError,
        FeatureStoreError,
        FloatingPointError,
        OutputError,
        ProcessError,
        ResumeError,
        RuntimeNotAvailableError,
        WeightsError,
    ) as error:
        raise refuse(error) from None


@dataclass(frozen=True)
class Session:
    """What a training command runs in.

    Attributes:
        process: this one.
        reporter: shows how far the run is, in the first process.
        stop: made by Ctrl-C or SIGTERM.
    """

    process: Process
    reporter: Reporter
    stop: StopRequest


@contextmanager
def session(device: str, precision: str | None = None) -> Iterator[Session]:
    """Run on a device, joined with the other processes that `torchrun` has started.

    Args:
        device: auto, cpu or cuda.
        precision: of an embedder's training; where it is slow on the device, that is said.

    Raises:
        ProcessError: the device is not there.
    """
    from training.distributed import joined
    from training.progress import Reporter
    from training.reporting.terminal import ConsoleReporter
    from training.signals import graceful_shutdown

    with graceful_shutdown() as stop, joined(device) as process:
        if precision is not None and process.first:
            _advise(precision, process.device)
        shown = ConsoleReporter(err, process.device) if process.first else nullcontext(Reporter())
        with shown as reporter:
            yield Session(process, reporter, stop)


def sources(data: Path, weights: Path | None, further: Path | None = None) -> Sources:
    """What this command starts from, with its own words."""
    from training.embedder.experiment import Sources
    from training.reporting.provenance import command

    if weights is None and os.environ.get("RANK", "0") == "0":
        err.print(
            "[bold yellow]Training starts from nothing:[/] without --weights accuracy stays far lower. "
            "`lka-reid weights fetch` says how to get published ones; `lka-reid tune` starts from a bundle.",
            soft_wrap=True,
        )
    return Sources(data, weights, command(sys.argv[1:]), further)


def _advise(precision: str, device: torch.device) -> None:
    """Say so where the precision that is set is slower than float32 on this machine."""
    from training.distributed import emulates_bf16

    if precision == "bf16" and emulates_bf16(device):
        err.print(
            "[yellow]This CPU does not compute in bf16:[/] --set run.precision=fp32 is about three times as "
            "fast here (and another run: its numbers differ).",
            soft_wrap=True,
        )


def accuracy_values(manifest: Manifest) -> dict[str, Any] | None:
    """A bundle's measured accuracy as JSON types; None where nothing was measured."""
    return None if manifest.accuracy is None else manifest.accuracy.model_dump(mode="json")


def show(metrics: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    """Print what an experiment has come to."""
    from training.reporting.terminal import results_table

    if as_json:
        bundle = folder / "bundle"
        answer = {name: metrics.get(name, []) for name in ("results", "second_stage")}
        out.print_json(
            data=answer
            | {"report": str(folder / "report"), "bundle": str(bundle) if bundle.is_dir() else None}
        )
        return
    if metrics["results"]:
        out.print(results_table(metrics["results"]))
    for row in metrics.get("second_stage", ()):
        if "won" in row:
            out.print(f"second stage, {row['task']}: {row['won']} first matches won, {row['lost']} lost")
    out.print(f"report   {folder / 'report'}", soft_wrap=True, markup=False)
    if (folder / "bundle").is_dir():
        show_bundle(folder / "bundle")


def show_bundle(bundle: Path, *, width: int = 9) -> None:
    """Print where a bundle lies, and the command that serves it, as it can be pasted.

    Args:
        bundle: its folder.
        width: of the first column, as in the lines above.
    """
    served = shlex.join(["lka-reid", "serve", "--bundle", str(bundle)])
    out.print(f"{'bundle':<{width}}{bundle}   {served}", soft_wrap=True, markup=False)


def publish(
    folder: Path,
    text: str,
    values: dict[str, Any],
    device: torch.device,
    name: str = "table.json",
    *,
    as_json: bool,
) -> None:
    """Write a study's table as Markdown and its values as JSON, with their provenance, and print one of them.

    Args:
        folder: gets `table.md` and the JSON file.
        text: the table and its notes.
        values: plain JSON types.
        device: that computed them.
        name: of the JSON file.
        as_json: print what the JSON file holds, not the table.
    """
    from training.atomic import write_json, write_text
    from training.reporting.provenance import environment

    write_text(folder / "table.md", text)
    document = {**values, **environment(device)}
    write_json(folder / name, document)
    if as_json:
        out.print_json(data=document)
    else:
        out.print(text, markup=False, soft_wrap=True)


def publish_figures(
    tables: Sequence[FigureTable],
    lines: Sequence[str],
    values: dict[str, Any],
    text: Path,
    figures: Path,
    *,
    as_json: bool,
) -> None:
    """Write tables as Markdown and their values as JSON, with their provenance, and print one of them.

    Args:
        tables: one after the other.
        lines: notes below them in the Markdown file.
        values: plain JSON types.
        text: the Markdown file.
        figures: the JSON file.
        as_json: print what the JSON file holds, not the tables.
    """
    import torch

    from training.atomic import write_json, write_text
    from training.reporting.provenance import command, environment

    parts = [*(table.markdown() for table in tables), "\n".join(f"- {line}" for line in lines)]
    write_text(text, "\n\n".join(parts) + "\n")
    around = environment(torch.device("cpu"))
    document = {**values, "command": command(sys.argv[1:]), **around}
    write_json(figures, document)
    if as_json:
        out.print_json(data=document)
        return
    for table in tables:
        out.print(table.terminal())


def notes_of(device: torch.device) -> Sequence[str]:
    """The command, and where it ran, for the notes below a table."""
    from training.reporting.provenance import command, environment

    around = environment(device)
    return (
        f"`{command(sys.argv[1:])}`",
        f"commit {around['commit']}, torch {around['versions']['torch']}, {around['machine']['device']}",
    )
