"""`lka-reid data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.terminal import out
from training.commands.progress import bars, refuse
from training.commands.running import Json
from training.datasets.layouts import AUTO, LAYOUT_NAMES

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Data sets: what is in them, and what is wrong with them.",
)


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(help="The data set's folder, or its CSV manifest.", show_default=False)
    ],
    layout: Annotated[str, typer.Option(metavar="NAME", help=f"How it lies there: {LAYOUT_NAMES}.")] = AUTO,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Also see whether an embedder can be trained on it by this configuration.",
            show_default=False,
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one key of the configuration; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a data set's statistics and all that is wrong with it; status 1 if any of it is an error.

    Found are: missing and unreadable images, exact duplicates, vehicles in training and test, query
    vehicles without a gallery match, cameras that only one vehicle uses; with a configuration also what a
    training would refuse before its first step.
    """
    from dataclasses import asdict

    from training.config.files import ConfigError, load_config
    from training.datasets.check import check as check_dataset
    from training.datasets.findings import findings_table, has_errors
    from training.datasets.image import DatasetError
    from training.datasets.layouts import open_dataset
    from training.datasets.requirements import check_training
    from training.datasets.statistics import statistics, statistics_table

    try:
        experiment = load_config(config, changes or []) if config or changes else None
        named = experiment.data.layout if experiment and layout == AUTO else layout
        dataset = open_dataset(path, named, look_for_images=False)
        split = experiment.data.split(dataset) if experiment else None
    except (ConfigError, DatasetError) as error:
        raise refuse(error) from None
    if not as_json:
        out.print(statistics_table(dataset))
    with bars() as progress:
        findings = check_dataset(
            dataset,
            progress.start("Reading images", len(dataset.images())),
            measured=experiment is None or experiment.data.measured,
        )
    if experiment and split:
        findings += check_training(*split, experiment.batch.vehicles)
    findings = list(dict.fromkeys(findings))
    if as_json:
        lists = [asdict(row) | {"images_per_vehicle": row.images_per_vehicle} for row in statistics(dataset)]
        out.print_json(
            data={
                "layout": dataset.layout,
                "notes": list(dataset.notes),
                "lists": lists,
                "findings": [asdict(finding) for finding in findings],
            }
        )
    elif findings:
        out.print(findings_table(findings, dataset.folder))
    else:
        out.print("[green]Nothing is wrong with it.[/]")
    if has_errors(findings):
        raise typer.Exit(1)
