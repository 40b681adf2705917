"""`lka-reid train`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from training.commands.progress import err, out, refuse

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Train an embedder by a configuration file, or everything that the default bundle needs.",
)

INTERRUPTED = 130

RunFolder = Annotated[
    Path, typer.Option("--out", help="The run's folder: checkpoints, logs, report and bundle.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out, if one is there, to the same numbers.")
]


@app.command()
def embedder(
    config: Annotated[
        Path,
        typer.Option(help="The experiment, a YAML file such as configs/veri776.yaml.", show_default=False),
    ],
    data: Annotated[
        Path, typer.Option(help="The data set: its folder, or its CSV manifest.", show_default=False)
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Published ResNet-50 weights of the layout that the configuration names (safetensors, or a "
            ".pth of tensors alone). Left out, training starts from nothing.",
            show_default=False,
        ),
    ] = None,
    folder: RunFolder = Path("runs/embedder"),
    resume: Resume = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one key, for instance optimiser.learning_rate=2e-4; may be repeated. "
            "`lka-reid train keys` lists them all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train an embedder, measure it, and write a report and a bundle to serve.

    Every epoch is saved: Ctrl-C finishes the step under way and tells how to go on. On several GPUs, or
    several machines, start it with [bold]torchrun --nproc-per-node 8 -m service.cli train embedder ...[/]

    --out gets config.yaml (every key as it was used), snapshot/ (until it is finished), tensorboard/,
    report/ (metrics.json, curves.png, cmc.png, hardest.png), embedder.safetensors and bundle/.
    """
    from training.checkpoint import CheckpointError
    from training.configfile import ConfigError, load_config
    from training.dataset import DatasetError
    from training.export import ExportError
    from training.interruption import InterruptedRunError
    from training.processes import ProcessError
    from training.snapshot import SnapshotError
    from training.weights import WeightsError

    try:
        experiment = load_config(config, changes or [])
        metrics = _run(experiment, data, weights, folder, resume=resume)
    except InterruptedRunError as error:
        raise _interrupted(error, [] if resume else ["--resume"]) from None
    except (
        CheckpointError,
        ConfigError,
        DatasetError,
        ExportError,
        FloatingPointError,
        ProcessError,
        SnapshotError,
        WeightsError,
    ) as error:
        raise refuse(error) from None
    if metrics:
        _show(metrics, folder)


def _run(experiment: Any, data: Path, weights: Path | None, folder: Path, *, resume: bool) -> dict[str, Any]:
    from training.console import ConsoleReporter, SilentReporter
    from training.experiment import Experiment, Sources
    from training.interruption import listening
    from training.processes import joined
    from training.provenance import command

    sources = Sources(data, weights, command(sys.argv[1:]))
    with (
        listening() as interruption,
        joined(experiment.run.device) as process,
        ConsoleReporter(err, process.device) if process.first else SilentReporter() as reporter,
    ):
        return Experiment(
            experiment, sources, folder, reporter, process=process, interruption=interruption
        ).run(resume=resume)


def _show(metrics: dict[str, Any], folder: Path) -> None:
    from training.console import results_table

    if metrics["results"]:
        out.print(results_table(metrics["results"]))
    out.print(f"report   {folder / 'report'}", soft_wrap=True)
    if (folder / "bundle").is_dir():
        out.print(
            f"bundle   {folder / 'bundle'}   lka-reid serve --bundle {folder / 'bundle'}", soft_wrap=True
        )


def _interrupted(interruption: Exception, more: list[str]) -> typer.Exit:
    """Say how to go on, once where several processes were stopped."""
    if os.environ.get("RANK", "0") == "0":
        err.print(f"[yellow]{interruption}; all of it is saved.[/] Go on with:")
        err.print(f"  lka-reid {shlex.join([*sys.argv[1:], *more])}", soft_wrap=True, markup=False)
    return typer.Exit(INTERRUPTED)


@app.command()
def default_bundle(
    data: Annotated[
        Path,
        typer.Option(
            help="CSV manifest: path, vehicle_id, camera_id, vehicle_type.", dir_okay=False, exists=True
        ),
    ],
    weights: Annotated[
        Path, typer.Option(help="ImageNet ResNet-50, safetensors, v1 layout.", dir_okay=False, exists=True)
    ],
    folder: Annotated[
        Path, typer.Option("--out", help="The run's folder; finished parts in it are not made again.")
    ] = Path("runs/default"),
    develop: Annotated[
        bool,
        typer.Option(
            "--develop",
            help="Leave the validation vehicles alone and measure on part of the training vehicles.",
        ),
    ] = False,
) -> None:
    """Train the default bundle's parts and print their accuracy on validation vehicles.

    The embedder, its rivals, the folds' embedders and the re-ranker are kept in --out as they are
    finished; the same command goes on where it was stopped. `lka-reid export` makes the bundle.
    """
    from training.console import ConsoleReporter, accuracy_table
    from training.dataset import DatasetError
    from training.interruption import InterruptedRunError, listening
    from training.pipeline import Run, Sources
    from training.recipe import Recipe
    from training.snapshot import SnapshotError
    from training.weights import WeightsError

    try:
        with listening() as interruption, ConsoleReporter(err) as reporter:
            sources = Sources(data, weights, develop)
            results = Run(folder, Recipe(), sources, reporter, interruption).measure()
    except InterruptedRunError as error:
        raise _interrupted(error, []) from None
    except (DatasetError, WeightsError, SnapshotError, ValueError, FloatingPointError) as error:
        raise refuse(error) from None
    out.print(accuracy_table(results))


@app.command()
def keys() -> None:
    """List every key of a configuration: type, default and meaning."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from training.configfile import describe
    from training.configuration import ExperimentConfig

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("key", "value", "default", "meaning"):
        table.add_column(name, overflow="fold", no_wrap=name == "key")
    section = ""
    for key, kind, default, meaning in describe(ExperimentConfig):
        head = key.partition(".")[0] if "." in key else ""
        if head != section:
            table.add_section()
            section = head
        table.add_row(key, escape(kind), escape(default), escape(meaning))
    out.print(table)
