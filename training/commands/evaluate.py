"""`lka-reid evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from models.terminal import TitledTable, err, out
from models.wording import counted
from training.commands.measuring import BUNDLE, BundleFolder, Data, DataLayout, Runtime, open_both
from training.commands.progress import bars, refuse
from training.commands.running import Json
from training.datasets.layouts import AUTO
from training.evaluation.measurement import NAMES, Measurement, Way
from training.evaluation.metrics import REIDENTIFICATION, shown

if TYPE_CHECKING:
    from training.datasets.dataset import Task
    from training.evaluation.breakdown import Share
    from training.evaluation.descriptors import Described

REPORT = REIDENTIFICATION
ON_SHEET = 12


def evaluate(
    data: Data,
    bundle: BundleFolder = BUNDLE,
    layout: DataLayout = AUTO,
    way: Annotated[
        list[Way] | None,
        typer.Option(help="A way of measuring; repeat it for several.", show_default="all of them"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="A PNG to write: the worst of the queries whose first match is wrong."),
    ] = None,
    runtime: Runtime = "auto",
    as_json: Json = False,
) -> None:
    """Measure a bundle: how often the first match is correct, for each pair of cameras and each type.

    On top stands in one sentence what a service with this bundle does. Below it are mAP, CMC and mINP of
    every task of the data set, one row for each way of measuring: the plain row is the first stage as it is;
    what is done on top of it (second stage, camera-aware centring, query expansion, flip augmentation) has
    rows of its own. Gallery images of the probe's vehicle from the probe's camera are left out. Intervals are
    95 %, over vehicles.
    """
    from dataclasses import asdict

    from models.bundle import BundleError
    from models.runtimes.forward import RuntimeNotAvailableError
    from training.atomic import require_writable
    from training.datasets.image import DatasetError
    from training.evaluation.breakdown import breakdown, sentence
    from training.evaluation.protocol import describe_tasks, inapplicable, measure, measure_tasks
    from training.reporting.provenance import title_of

    ways = way or list(Way)
    try:
        require_writable(*([sheet] if sheet is not None else []))
        models, dataset = open_both(bundle, data, layout, runtime)
        left_out = {NAMES[w]: reason for w, reason in inapplicable(dataset, models).items() if w in ways}
        served = Way.reranked if Way.reranked in ways and models.reranker is not None else Way.plain
        with bars() as progress:
            described = describe_tasks(dataset, models, progress, strips=Way.reranked in ways)
            task = dataset.tasks[0]
            whole = measure(task, described, served, models.reranker, progress)
            shares = breakdown(task, described, served, models.reranker, progress)
            if sheet is not None:
                title = title_of(models.bundle.manifest.name, f"{dataset.folder.resolve().name}, {task.name}")
                shown, wrong = _draw_sheet(task, described, sheet, title)
            rows = list(measure_tasks(dataset, models, described, ways, progress))
    except (DatasetError, BundleError, RuntimeNotAvailableError, ValueError, OSError) as error:
        raise refuse(error) from None
    summary = sentence(whole, alone=served is Way.plain and models.reranker is not None)
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
                "summary": summary,
                "shares": [asdict(share) for share in shares],
                "rows": [_plain(row) for row in rows],
            }
        )
        return
    out.print(f"[bold]{summary}[/]", soft_wrap=True)
    out.print(_table(rows, f"{models.bundle.manifest.name} ({fingerprint[:12]}) on {data}"))
    for table in _share_tables(shares, NAMES[served]):
        out.print(table)
    for name, reason in left_out.items():
        err.print(f"no row '{name}': {reason}")
    if sheet is not None:
        said = (
            f"{shown} of {counted(wrong, 'query', 'queries')} whose first match is wrong"
            if wrong
            else "not written: no first match is wrong"
        )
        out.print(f"sheet    {sheet}: {said}", soft_wrap=True, markup=False)


def _draw_sheet(task: Task, described: Described, sheet: Path, title: str) -> tuple[int, int]:
    """Draw the hardest queries of the first stage, one a vehicle; how many are drawn, and of how many."""
    import numpy as np

    from training.evaluation.assessment import assess
    from training.evaluation.hardest import hardest
    from training.features.extract import Features
    from training.reporting.plots import draw_hardest

    features = Features(described.images, described.descriptors.astype(np.float32, copy=False), None)
    result = assess(task, features).result
    worst = hardest(task, result, features, ON_SHEET)
    if worst:
        draw_hardest(worst, sheet, f"Worst of the queries whose first match is wrong: {title}, first stage")
    return len(worst), int((result.first > 1).sum())


def _share_tables(shares: Sequence[Share], way: str) -> Iterator[Table]:
    """A table for the pairs of cameras and one for the types; what is worst stands first."""
    for kind, about in (("camera pair", "query → gallery"), ("vehicle type", "type")):
        of_kind = sorted((share for share in shares if share.kind == kind), key=lambda share: share.R1.mean)
        if not of_kind:
            continue
        table = TitledTable(f"By {kind}, {way}", box=box.SIMPLE_HEAD, collapse_padding=True)
        table.add_column(about, overflow="fold")
        for name in ("queries", "vehicles", "R1", "95 %", "mAP", "95 %"):
            table.add_column(name, justify="right", no_wrap=True)
        for share in of_kind:
            table.add_row(
                escape(share.name),
                f"{share.queries:,}",
                f"{share.vehicles:,}",
                *(
                    text
                    for found in (share.R1, share.mAP)
                    for text in (f"{found.mean:.1f}", f"{found.low:.1f} to {found.high:.1f}")
                ),
            )
        yield table


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
    table = TitledTable(escape(title), box=box.SIMPLE_HEAD, collapse_padding=True)
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
