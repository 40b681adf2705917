"""`lka-reid train`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from training.commands.progress import err, out
from training.commands.reranker import reranker
from training.commands.running import DataSet, Resume, RunFolder, Weights, advise, ending, show

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Train an embedder or a re-ranker by a configuration file, or all that the default bundle needs.",
)


@app.command()
def embedder(
    config: Annotated[
        Path,
        typer.Option(help="The experiment, a YAML file such as configs/veri776.yaml.", show_default=False),
    ],
    data: DataSet,
    weights: Weights = None,
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
    several machines, start it with `torchrun --nproc-per-node 8 -m service.cli train embedder ...`

    --out gets config.yaml (every key as it was used), snapshot/ (until it is finished), tensorboard/,
    report/ (metrics.json, curves.png, cmc.png, hardest.png), embedder.safetensors and bundle/.
    """
    from training.config.files import load_config

    with ending(*([] if resume else ["--resume"])):
        experiment = load_config(config, changes or [])
        metrics = _run(experiment, data, weights, folder, resume=resume)
    if metrics:
        show(metrics, folder)


def _run(experiment: Any, data: Path, weights: Path | None, folder: Path, *, resume: bool) -> dict[str, Any]:
    from training.distributed import joined
    from training.embedder.experiment import Experiment, Sources
    from training.reporting.provenance import command
    from training.reporting.terminal import ConsoleReporter, SilentReporter
    from training.signals import listening

    sources = Sources(data, weights, command(sys.argv[1:]))
    with (
        listening() as interruption,
        joined(experiment.run.device) as process,
        ConsoleReporter(err, process.device) if process.first else SilentReporter() as reporter,
    ):
        if process.first:
            advise(experiment.run.precision, process.device)
        return Experiment(
            experiment, sources, folder, reporter, process=process, interruption=interruption
        ).run(resume=resume)


app.command()(reranker)


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
    from training.pipeline import Run, Sources
    from training.recipe import Recipe
    from training.reporting.terminal import ConsoleReporter, accuracy_table
    from training.shipment import measure
    from training.signals import listening

    with ending(), listening() as interruption, ConsoleReporter(err) as reporter:
        sources = Sources(data, weights, develop)
        results = measure(Run(folder, Recipe(), sources, reporter, interruption))
    out.print(accuracy_table(results))


class Kind(StrEnum):
    """Whose configuration."""

    embedder = "embedder"
    reranker = "reranker"


@app.command()
def keys(
    kind: Annotated[Kind, typer.Argument(help="Whose configuration.", metavar="embedder|reranker")] = (
        Kind.embedder
    ),
) -> None:
    """List every key of a configuration: type, default and meaning."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from training.config.embedder import ExperimentConfig
    from training.config.files import describe
    from training.config.reranker import RerankerExperimentConfig

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("key", "value", "default", "meaning"):
        table.add_column(name, overflow="fold", no_wrap=name == "key")
    section = ""
    for key, value, default, meaning in describe(
        RerankerExperimentConfig if kind is Kind.reranker else ExperimentConfig
    ):
        head = key.partition(".")[0] if "." in key else ""
        if head != section:
            table.add_section()
            section = head
        table.add_row(key, escape(value), escape(default), escape(meaning))
    out.print(table)
