"""`lka-reid sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.measuring import kinds_of
from training.commands.running import (
    Changes,
    DataSet,
    Further,
    Json,
    Weights,
    ending,
    notes_of,
    publish_figures,
    session,
)


def sweep(
    data: DataSet,
    config: Annotated[Path, typer.Option(help="What the settings have in common.", show_default=False)],
    settings: Annotated[
        list[str],
        typer.Option(
            "--setting",
            metavar="KEY=VALUE[;KEY=VALUE]",
            help="One setting: the keys that it changes, joined by semicolons, for instance losses.ibb=0.5; "
            "to be repeated. The others are compared with the first one.",
            show_default=False,
        ),
    ],
    weights: Weights = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the trainings: 0, 1, ...")] = 3,
    folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Measure on one of so many folds of the vehicles to learn from, and learn from the rest: by "
            "that table you may choose; 0: on the vehicles set aside.",
        ),
    ] = 0,
    further: Further = None,
    only: Annotated[
        str, typer.Option(help="The conditions of `lka-reid evaluate-shift` to measure, joined by commas.")
    ] = "seen,occluded",
    folder: Annotated[
        Path, typer.Option("--out", help="Keeps embedders and descriptors; gets table.md and sweep.json.")
    ] = Path("runs/sweep"),
    changes: Changes = None,
    as_json: Json = False,
) -> None:
    """Train one configuration in several settings and seeds, and measure each under the same conditions.

    The vehicles measured are those that the configuration sets aside, or with --folds some of the others,
    before two cameras; the first stage alone ranks. Finished trainings are kept, so the same command goes on
    where it was stopped; started again beside itself, it takes those that nobody has. Nothing is chosen: the
    table has every setting.
    """
    from dataclasses import replace

    from training.config.files import load_config
    from training.datasets.folds import identity_folds
    from training.datasets.layouts import open_dataset
    from training.evaluation.shift.conditions import OF_TWO_CAMERAS
    from training.reporting.provenance import sources_of
    from training.studies.sweep import Sweep, tables

    with ending(writes=[folder]):
        if folds == 1:
            raise typer.BadParameter("--folds 1: leaves nothing to learn from; give 2 or more, or 0")
        kinds = kinds_of(only)
        for kind in kinds:
            if kind not in OF_TWO_CAMERAS:
                raise typer.BadParameter(f"--only {kind}: there are {', '.join(OF_TWO_CAMERAS)} here")
        common = changes or []
        chosen = load_config(config, common)
        configs = {each: load_config(config, [*common, *each.split(";")]) for each in settings}
        for name, each in configs.items():
            if each.seed != chosen.seed or each.data != chosen.data:
                raise typer.BadParameter(
                    f"--setting {name}: changes seed or data, which all share; give --seeds, or --set"
                )
        dataset = open_dataset(data, chosen.data.layout)
        (part,) = chosen.data.parts(dataset, 1)
        if folds:
            part = next(identity_folds(part.train, folds))
        if further is not None:
            more = chosen.data.further_images(open_dataset(further))
            part = replace(part, train=[*part.train, *more])
        with session(chosen.run.device, chosen.run.precision) as here:
            begun = sources_of(data, part.train, weights, further)
            study = Sweep(configs, weights, folder, begun, here.reporter, here.stop)
            outcomes = study.run(part, kinds, range(seeds))
            device = here.process.device
    side = chosen.network.image_size
    notes = [
        f"{chosen.name}, {side[0]}x{side[1]} px, {chosen.schedule.epochs} epochs, "
        f"{'from ' + weights.name if weights else 'from nothing'}; seeds 0 to {seeds - 1}; first stage",
        f"{data.stem}{f' and {further.stem}' if further else ''}: "
        f"{len({i.vehicle_id for i in part.train})} vehicles learned from, "
        f"{len({i.vehicle_id for i in part.task.queries})} others measured"
        f"{f' (one of {folds} folds of those to learn from)' if folds else ''}; "
        f"{max(outcome.queries for outcome in outcomes)} queries a seed",
        *notes_of(device),
    ]
    publish_figures(
        tables(outcomes),
        notes,
        {"outcomes": [outcome.as_json() for outcome in outcomes], "notes": notes},
        folder / "table.md",
        folder / "sweep.json",
        as_json=as_json,
    )
