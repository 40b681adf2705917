"""`lka-reid evaluate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from models.terminal import err, out
from training.commands.measuring import BUNDLE, BundleFolder, Data, DataLayout, Runtime, open_both
from training.commands.progress import bars, refuse
from training.datasets.layouts import AUTO
from training.evaluation.measurement import NAMES, Measurement, Way
from training.evaluation.metrics import REIDENTIFICATION, shown

REPORT = REIDENTIFICATION


def evaluate(
    data: Data,
    bundle: BundleFolder = BUNDLE,
    layout: DataLayout = AUTO,
    way: Annotated[
        list[Way] | None,
        typer.Option(help="A way of measuring; repeat it for several.", show_default="all of them"),
    ] = None,
    runtime: Runtime = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON, unrounded.")] = False,
) -> None:
    """Measure a bundle: mAP, CMC and mINP of every task of a data set, one row for each way of measuring.

    Gallery images of the probe's vehicle from the probe's camera are left out. The plain row is the first
    stage as it is; what is done on top of it (second stage, camera-aware centring, query expansion, flip
    augmentation) has rows of its own.
    """
    from models.bundle import BundleError
    from models.runtimes.forward import RuntimeNotAvailableError
    from training.datasets.image import DatasetError
    from training.evaluation.protocol import evaluate as rows_of
    from training.evaluation.protocol import inapplicable

    ways = way or list(Way)
    try:
        models, dataset = open_both(bundle, data, layout, runtime)
        with bars() as progress:
            rows = list(rows_of(dataset, models, ways, progress))
    except (DatasetError, BundleError, RuntimeNotAvailableError, ValueError) as error:
        raise refuse(error) from None
    left_out = {NAMES[w]: reason for w, reason in inapplicable(dataset, models).items() if w in ways}
    fingerprint = models.bundle.fingerprint
    if as_json:
        out.print_json(
            data={
                "bundle": models.bundle.manifest.name,
                "fingerprint": fingerprint,
                "runtime": models.runtime,
                "layout": dataset.layout,
                "notes": list(dataset.notes),
                "left_out": left_out,
                "rows": [_plain(row) for row in rows],
            }
        )
        return
    out.print(_table(rows, f"{models.bundle.manifest.name} ({fingerprint[:12]}) on {data}"))
    for name, reason in left_out.items():
        err.print(f"no row '{name}': {reason}")


def _plain(row: Measurement) -> dict[str, Any]:
    """Flat, unrounded, for JSON."""
    return {
        "task": row.task.name,
        "way": row.way.value,
        "queries": row.queries,
        "gallery": row.result.gallery,
        "repeats": len(row.results),
        **row.figures(REPORT),
        "spread": row.spread(),
    }


def _table(rows: list[Measurement], title: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, collapse_padding=True
    )
    figures = shown(REPORT)
    table.add_column("task")
    table.add_column("way")
    for name in ("queries", "gallery", *figures):
        table.add_column(name, justify="right", no_wrap=True)
    before = ""
    for row in sorted(rows, key=lambda row: [r.task.name for r in rows].index(row.task.name)):
        values = row.figures(REPORT)
        # What is drawn at random is shown with its spread.
        spread = {name: f" ±{value:.1f}" for name, value in (row.spread() or {}).items()}
        draws = len(row.results)
        table.add_row(
            row.task.name if row.task.name != before else "",
            NAMES[row.way] + (f" ({draws} draws)" if draws > 1 else ""),
            f"{row.queries:,}",
            f"{row.result.gallery:,}",
            *(f"{values[name]:.1f}{spread.get(name, '')}" for name in figures),
            style="bold" if row.way is Way.plain else None,
        )
        before = row.task.name
    return table
