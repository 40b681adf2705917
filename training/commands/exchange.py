"""`lka-reid exchange-reranker`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from models.terminal import err, out
from training.commands.measuring import BUNDLE, Data, DataLayout
from training.commands.running import Json, accuracy_values, ending
from training.datasets.layouts import AUTO


def exchange_reranker(
    data: Data,
    folder: Annotated[Path, typer.Option("--out", help="The new bundle's folder.", show_default=False)],
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The bundle to start from.", show_default="the default one")
    ] = BUNDLE,
    layout: DataLayout = AUTO,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The second stage's configuration; its section `shape` is taken, untrained.",
            show_default=False,
        ),
    ] = None,
    reranker: Annotated[
        Path | None,
        typer.Option(help="In its place: reranker.safetensors of a training.", show_default=False),
    ] = None,
    fusion: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Weight of the first stage's similarity; the larger, the more seldom the order changes.",
            show_default="as trained",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a bundle another second stage; its embedder and its fingerprint stay, galleries stay valid.

    The new files are proven to agree with torch, and both stages are measured on the bundle's held-out
    vehicles: --data is the data set that it was trained on. Of a bundle that names none, as `lka-reid adapt`
    makes it, nothing is measured. An untrained re-ranker compares the strips as the embedder makes them.
    """
    import torch
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from models.bundle import Bundle
    from models.manifest import RerankerTraining
    from models.reranker import StripReranker
    from training.checkpoints.weights import load_reranker
    from training.config.files import ConfigError, load_as
    from training.config.reranker import RerankerExperimentConfig
    from training.datasets.layouts import open_dataset
    from training.export.swap_reranker import exchange_reranker as exchange
    from training.export.swap_reranker import held_out_tasks
    from training.reporting.provenance import command
    from training.reporting.terminal import accuracy_table
    from training.reranker.selection import with_fusion

    with ending(writes=[folder]):
        if (config is None) == (reranker is None):
            raise ConfigError("give the second stage, either by --config or by --reranker")
        old = Bundle.load(bundle)
        tasks = held_out_tasks(old, open_dataset(data, layout))
        if reranker is not None:
            model = load_reranker(reranker)
        else:
            shape = load_as(RerankerExperimentConfig, config, []).shape
            torch.manual_seed(0)
            grid = old.manifest.network.get("parts")
            # Only attention knows of places on a grid.
            if shape.distance != "attention":
                grid = None
            places = None if grid is None else (int(grid[0]), int(grid[1]))
            model = StripReranker(shape.build((old.manifest.strips or (0, 0))[1], places)).eval()
        if fusion is not None:
            model = with_fusion(model, fusion)
        provenance = RerankerTraining(
            configuration={"shape": model.config.to_dict()}, trained=reranker is not None
        )
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=err) as progress:
            progress.add_task("exporting and measuring")
            made = exchange(old, folder, model, tasks, provenance, command(sys.argv[1:]))
    if as_json:
        answer = {"bundle": str(folder), "fingerprint": made.fingerprint}
        out.print_json(data={**answer, "accuracy": accuracy_values(made.manifest)})
        return
    if made.manifest.accuracy is not None:
        out.print(accuracy_table(made.manifest.accuracy))
    else:
        out.print("nothing was measured: the bundle names no vehicles that were held out of its training")
    out.print(f"bundle   {folder}   fingerprint {made.fingerprint[:12]}", soft_wrap=True)
