"""`lka-reid ablation`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.commands.running import (
    Changes,
    DataSet,
    Folds,
    Json,
    OnlyFolds,
    Weights,
    ending,
    notes_of,
    publish,
    session,
)


class Row(StrEnum):
    """A row of the table."""

    baseline = "baseline"
    lka = "lka"
    hca = "hca"
    both = "both"


def ablation(
    data: DataSet,
    weights: Weights = None,
    config: Annotated[
        Path | None,
        typer.Option(help="The configuration of every cell. Default: the paper's.", show_default=False),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Keeps every finished cell, and the table.")] = Path(
        "runs/ablation"
    ),
    rows: Annotated[
        list[Row] | None,
        typer.Option("--row", help="A row of the table; may be repeated. Default: all four."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds: 0, 1, ...")] = 3,
    folds: Folds = 1,
    only_folds: OnlyFolds = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of every training.")] = None,
    size: Annotated[int | None, typer.Option(min=16, help="Side of the images, px.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the stem; 64 is full.")] = None,
    depth: Annotated[
        str | None, typer.Option(help="Bottlenecks in each stage, for instance 1,1,1,1; 3,4,6,3 is full.")
    ] = None,
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Train the four mixer settings of the paper's Table II under one budget and write the table.

    A cell is one row, seed and fold. Finished cells are kept, so the same command goes on where it was
    stopped; started again beside itself, it takes the cells that nobody has. --out gets table.md and
    table.json: parameters, multiply-accumulates, and mAP, R1 and R5 (or Recall@1/2/4/8 where no camera is
    known) with their spread over the seeds.
    """
    from training.config.files import load_config
    from training.datasets.layouts import open_dataset
    from training.studies.ablation import Ablation, markdown, summary

    sizes = {
        "schedule.epochs": epochs,
        "network.image_size": None if size is None else f"[{size}, {size}]",
        "network.width": width,
        "network.depth": None if depth is None else f"[{depth}]",
    }
    with ending(writes=[folder]):
        chosen = load_config(
            config, [*(f"{k}={v}" for k, v in sizes.items() if v is not None), *(changes or [])]
        )
        dataset = open_dataset(data, chosen.data.layout)
        with session(chosen.run.device, chosen.run.precision) as here:
            work = Ablation(
                chosen,
                data,
                dataset,
                weights,
                folder,
                here.reporter,
                folds=folds,
                measured=only_folds,
                stop=here.stop,
            )
            cells = work.run([str(row) for row in rows or Row], range(seeds))
            device = here.process.device
    lines = summary(cells, chosen.network.build())
    shape = chosen.network
    notes = [
        f"{shape.image_size[0]}x{shape.image_size[1]} px, width {shape.width}, "
        f"depth {', '.join(map(str, shape.depth))}, {chosen.schedule.epochs} epochs, "
        f"{'from ' + weights.name if weights is not None else 'from nothing'}",
        f"{data.stem}; mean ± standard deviation over {seeds} seeds, "
        + (f"each the mean of {len(work.parts)} of {folds} identity folds" if folds > 1 else "own split"),
        "parameters with two classifiers for 575 identities; multiply-accumulates of one image",
        *notes_of(device),
    ]
    publish(folder, markdown(lines, notes), {"rows": lines}, device, as_json=as_json)
