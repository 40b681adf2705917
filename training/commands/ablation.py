"""`lka-reid ablation`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.commands.progress import err, out
from training.commands.running import advise, ending


class Row(StrEnum):
    """A row of the table."""

    baseline = "baseline"
    lka = "lka"
    hca = "hca"
    both = "both"


def ablation(
    data: Annotated[
        Path, typer.Option(help="The data set: its folder, or its CSV manifest.", show_default=False)
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Published ResNet-50 weights. Left out, training starts from nothing.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="The experiment that every cell is. Default: the paper's.", show_default=False),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Keeps every finished cell, and the table.")] = Path(
        "runs/ablation"
    ),
    rows: Annotated[
        list[Row] | None,
        typer.Option("--row", help="A row of the table; may be repeated. Default: all four."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds: 0, 1, ...")] = 3,
    folds: Annotated[
        int,
        typer.Option(min=1, help="Parts of the vehicles, each measured once; 1: the data's own division."),
    ] = 1,
    only_folds: Annotated[
        int | None, typer.Option(min=1, help="Run just the first of the folds.", show_default=False)
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of every training.")] = None,
    size: Annotated[int | None, typer.Option(min=16, help="Side of the images, px.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the stem; 64 is full.")] = None,
    depth: Annotated[
        str | None, typer.Option(help="Bottlenecks in each stage, for instance 1,1,1,1; 3,4,6,3 is full.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key of the configuration."),
    ] = None,
) -> None:
    """Train the four mixer settings of the paper's Table II under one budget and write the table.

    A cell is one row, seed and fold. Finished cells are kept, so the same command goes on where it was
    stopped; started again beside itself, it takes the cells that nobody has. --out gets table.md and
    table.json: parameters, multiply-accumulates, and mAP, R1 and R5 (or Recall@1/2/4/8 where no camera is
    known) with their spread over the seeds.
    """
    from training.config.files import load_config
    from training.datasets.layouts import open_dataset
    from training.distributed import choose_device
    from training.reporting.provenance import command, surroundings
    from training.reporting.terminal import ConsoleReporter
    from training.signals import listening
    from training.studies.ablation import ROWS, Ablation, markdown, summary

    sizes = {
        "schedule.epochs": epochs,
        "network.image_size": None if size is None else f"[{size}, {size}]",
        "network.width": width,
        "network.depth": None if depth is None else f"[{depth}]",
    }
    with ending():
        chosen = load_config(
            config, [*(f"{k}={v}" for k, v in sizes.items() if v is not None), *(changes or [])]
        )
        dataset = open_dataset(data, chosen.data.layout)
        device = choose_device(chosen.run.device)
        advise(chosen.run.precision, device)
        folder.mkdir(parents=True, exist_ok=True)
        with listening() as interruption, ConsoleReporter(err, device) as reporter:
            work = Ablation(
                chosen,
                data,
                dataset,
                weights,
                folder,
                reporter,
                folds=folds,
                measured=only_folds,
                interruption=interruption,
            )
            cells = work.run([str(row) for row in rows or []] or list(ROWS), range(seeds))
    lines = summary(cells, chosen.network.build())
    around = surroundings(device)
    shape = chosen.network
    notes = [
        f"{shape.image_size[0]}x{shape.image_size[1]} px, width {shape.width}, "
        f"depth {', '.join(map(str, shape.depth))}, {chosen.schedule.epochs} epochs, "
        f"{'from ' + weights.name if weights is not None else 'from nothing'}",
        f"{data.stem}; mean ± standard deviation over {seeds} seeds, "
        + (f"each the mean of {len(work.parts)} of {folds} identity folds" if folds > 1 else "own division"),
        "parameters with two classifiers for 575 identities; multiply-accumulates of one image",
        f"`{command(sys.argv[1:])}`",
        f"commit {around['commit']}, torch {around['versions']['torch']}, {around['machine']['device']}",
    ]
    text = markdown(lines, notes)
    (folder / "table.md").write_text(text, encoding="utf-8")
    (folder / "table.json").write_text(
        json.dumps({"rows": lines, **around}, indent=1) + "\n", encoding="utf-8"
    )
    out.print(text, markup=False, soft_wrap=True)
