"""`lka-reid train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from models.terminal import out
from training.commands.classifier import classifier
from training.commands.reranker import reranker
from training.commands.running import (
    EMBEDDER_CONFIG,
    RERANKER_CONFIG,
    START_CONFIG,
    Changes,
    DataSet,
    Further,
    Json,
    Resume,
    RunFolder,
    Weights,
    ending,
    session,
    show,
    sources,
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Train an embedder or a re-ranker by a configuration file, or both for the default bundle.",
)


@app.command()
def embedder(
    config: Annotated[
        Path,
        typer.Option(help="The configuration, a YAML file such as configs/veri776.yaml.", show_default=False),
    ],
    data: DataSet,
    weights: Weights = None,
    further: Further = None,
    folder: RunFolder = Path("runs/embedder"),
    resume: Resume = False,
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Train an embedder, measure it, and write a report and a bundle to serve.

    Every epoch is saved: Ctrl-C finishes the step under way and tells how to go on. On several GPUs, or
    several machines, start it with `torchrun --nproc-per-node 8 -m service.cli train embedder ...`

    --out gets config.yaml (every key as it was used), checkpoint/ (until it is finished), tensorboard/,
    report/ (metrics.json, curves.png, cmc.png, hardest.png), embedder.safetensors and bundle/.
    """
    from training.config.files import load_config
    from training.embedder.experiment import Experiment

    with ending(*([] if resume else ["--resume"]), writes=[folder]):
        chosen = load_config(config, changes or [])
        with session(chosen.run.device, chosen.run.precision) as here:
            metrics = Experiment(
                chosen,
                sources(data, weights, further),
                folder,
                here.reporter,
                process=here.process,
                stop=here.stop,
            ).run(resume=resume)
    if metrics:
        show(metrics, folder, as_json=as_json)


app.command()(reranker)
app.command()(classifier)


@app.command()
def default_bundle(
    data: DataSet,
    weights: Weights = None,
    further: Further = None,
    folder: RunFolder = Path("runs/default"),
    config: Annotated[
        Path, typer.Option(help="The embedder's configuration.", show_default=EMBEDDER_CONFIG.name)
    ] = EMBEDDER_CONFIG,
    reranker_config: Annotated[
        Path, typer.Option(help="The re-ranker's configuration.", show_default=RERANKER_CONFIG.name)
    ] = RERANKER_CONFIG,
    start_config: Annotated[
        Path,
        typer.Option(
            help="The configuration of what the embedder starts from, if that is a bundle.",
            show_default=START_CONFIG.name,
        ),
    ] = START_CONFIG,
    as_json: Json = False,
) -> None:
    """Train the default bundle: its start, the embedder, then the re-ranker behind it.

    This is three commands, the last two of them with --further:

    - `lka-reid train embedder --config configs/vehicle-2cam.yaml --out OUT/start`
    - `lka-reid train embedder --config configs/new-cameras.yaml --weights OUT/start/bundle/embedder.onnx
      --out OUT/embedder`
    - `lka-reid train reranker --config configs/reranker-new-cameras.yaml --embedder OUT/embedder
      --out OUT/reranker`

    What is finished is kept: the same command goes on where it was stopped. OUT/reranker/bundle has both
    stages.
    """
    from models.manifest import EMBEDDER
    from training.config.files import load_as, load_config
    from training.config.reranker import RerankerExperimentConfig
    from training.embedder.experiment import Experiment
    from training.reranker.experiment import RerankerExperiment

    with ending(writes=[folder]):
        first = load_config(config)
        second = load_as(RerankerExperimentConfig, reranker_config)
        with session(first.run.device, first.run.precision) as here:
            if first.weights.layout == "bundle":
                start = Experiment(
                    load_config(start_config),
                    sources(data, weights),
                    folder / "start",
                    here.reporter,
                    process=here.process,
                    stop=here.stop,
                )
                start.result()
                weights = start.folder.bundle / EMBEDDER
            begun = sources(data, weights, further)
            own = folder / "embedder"
            Experiment(first, begun, own, here.reporter, process=here.process, stop=here.stop).result()
            metrics = RerankerExperiment(
                second,
                first,
                begun,
                folder / "reranker",
                here.reporter,
                given=own,
                process=here.process,
                stop=here.stop,
            ).result()
    show(metrics, folder / "reranker", as_json=as_json)


class Kind(StrEnum):
    """Whose configuration."""

    embedder = "embedder"
    reranker = "reranker"
    classifier = "classifier"


@app.command()
def keys(
    kind: Annotated[
        Kind, typer.Argument(help="Whose configuration: embedder, reranker or classifier.", metavar="WHOSE")
    ] = Kind.embedder,
    as_json: Json = False,
) -> None:
    """List every key of a configuration: type, default and meaning."""
    from pydantic import BaseModel
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from training.config.classifier import ClassifierConfig
    from training.config.embedder import ExperimentConfig
    from training.config.files import describe
    from training.config.reranker import RerankerExperimentConfig

    configurations: dict[Kind, type[BaseModel]] = {
        Kind.embedder: ExperimentConfig,
        Kind.reranker: RerankerExperimentConfig,
        Kind.classifier: ClassifierConfig,
    }
    described = describe(configurations[kind])
    names = ("key", "value", "default", "meaning")
    if as_json:
        out.print_json(data=[dict(zip(names, row, strict=True)) for row in described])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name == "key")
    section = ""
    for key, value, default, meaning in described:
        head = key.partition(".")[0] if "." in key else ""
        if head != section:
            table.add_section()
            section = head
        table.add_row(key, escape(value), escape(default), escape(meaning))
    out.print(table)
