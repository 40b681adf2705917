"""`lka-reid data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.progress import bars, out, refuse
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
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Print a data set's statistics and all that is wrong with it; status 1 if any of it is an error.

    Found are: missing and unreadable images, exact duplicates, vehicles in training and test, query
    vehicles without a gallery match, cameras that only one vehicle uses.
    """
    from dataclasses import asdict

    from training.datasets.check import check as check_dataset
    from training.datasets.findings import findings_table, has_errors
    from training.datasets.image import DatasetError
    from training.datasets.layouts import open_dataset
    from training.datasets.statistics import statistics, statistics_table

    try:
        dataset = open_dataset(path, layout, look_for_images=False)
    except DatasetError as error:
        raise refuse(error) from None
    if not as_json:
        out.print(statistics_table(dataset))
    with bars() as progress:
        findings = check_dataset(dataset, progress.start("Reading images", len(dataset.images())))
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
