"""`lka-reid tune`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from models.terminal import TitledTable, err, out
from models.wording import counted
from training.commands.calibrate import FALSE_ALARMS, GALLERY, Question
from training.commands.measuring import BUNDLE, DataLayout, Runtime
from training.commands.progress import bars
from training.commands.running import OWN_CONFIG, RERANKER_CONFIG, Changes, Json, ending, session, show_bundle
from training.datasets.layouts import AUTO

if TYPE_CHECKING:
    from training.tuning.comparison import Comparison


def tune(
    data: Annotated[
        Path, typer.Argument(help="Your images: a folder, or a CSV manifest.", show_default=False)
    ],
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The bundle to start from.", show_default="the default one")
    ] = BUNDLE,
    layout: DataLayout = AUTO,
    folder: Annotated[
        Path, typer.Option("--out", help="Gets the tuned bundle, its runs and the report.")
    ] = Path("runs/own"),
    false_alarms: Annotated[
        float, typer.Option(help="Of the thresholds: false alarms per search, on average.")
    ] = FALSE_ALARMS,
    gallery: Annotated[int, typer.Option(min=1, help="In a gallery of so many images.")] = GALLERY,
    config: Annotated[
        Path,
        typer.Option(help="The embedder's configuration to begin with.", show_default=OWN_CONFIG.name),
    ] = OWN_CONFIG,
    reranker_config: Annotated[
        Path,
        typer.Option(
            help="The re-ranker's configuration to begin with.",
            show_default=RERANKER_CONFIG.name,
        ),
    ] = RERANKER_CONFIG,
    changes: Changes = None,
    reranker_changes: Annotated[
        list[str] | None,
        typer.Option(
            "--reranker-set",
            metavar="KEY=VALUE",
            help="The same for the re-ranker's configuration.",
            show_default=False,
        ),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Print the configuration that is chosen, and end.")
    ] = False,
    runtime: Runtime = "auto",
    as_json: Json = False,
) -> None:
    """Fine-tune a bundle on your own cameras: embedder, second stage, thresholds; and say which one to serve.

    The configuration is chosen from the data (vehicles, images, cameras), the bundle and the machine, and
    printed before anything starts. It is careful: a low rate, frozen norms, and descriptors that are held
    near those of the start. A fifth of the vehicles is held back; at the end both bundles are measured on
    them, side by side.

    What is finished is kept: the same command goes on where it was stopped. --out gets bundle/, which
    `lka-reid serve --bundle` takes, report/tuning.json, and the two runs.
    """
    from models.bundle import Bundle
    from training.commands.choices import choices_table
    from training.datasets.layouts import open_dataset
    from training.distributed import choose_device
    from training.reporting.provenance import command
    from training.tuning.experiment import Tuning
    from training.tuning.plan import make_plan

    question = Question(false_alarms, gallery, None)
    with ending(writes=[] if plan_only else [folder]):
        start = Bundle.load(bundle)
        dataset = open_dataset(data, layout)
        device = choose_device("auto").type
        plan = make_plan(
            dataset, start, device, (config, reranker_config), changes or [], reranker_changes or []
        )
        if as_json and plan_only:
            out.print_json(data=[asdict(choice) for choice in plan.choices], default=str)
            return
        (err if as_json else out).print(
            choices_table(plan.choices, f"Tuning {start.manifest.name} on {data}")
        )
        if plan_only:
            return
        with session(plan.embedder.run.device, plan.embedder.run.precision) as here:
            tuning = Tuning(
                plan,
                start,
                data,
                folder,
                command(sys.argv[1:]),
                here.reporter,
                process=here.process,
                stop=here.stop,
            )
            tuning.train()
        with bars() as progress:
            outcome = tuning.conclude(runtime, question.rate, str(question), progress)
    if as_json:
        answer = {"threshold": outcome.threshold, "bundle": str(outcome.bundle)}
        out.print_json(data={**outcome.comparison.as_json(), **answer})
        return
    out.print(_comparison_table(outcome.comparison))
    out.print(f"[bold]{escape(outcome.comparison.verdict)}[/]", soft_wrap=True)
    out.print(f"threshold  {outcome.threshold}", soft_wrap=True, markup=False)
    show_bundle(outcome.bundle, width=11)


def _comparison_table(comparison: Comparison) -> Table:
    table = TitledTable(
        f"{counted(comparison.queries, 'search', 'searches')} for "
        f"{counted(comparison.vehicles, 'vehicle that was', 'vehicles that were')} held back, "
        f"{comparison.stages}; 95 % over vehicles",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("", "before", "tuned", "difference"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in comparison.rows:
        table.add_row(
            row.metric,
            *(f"{each.mean:.1f} [{each.low:.1f}, {each.high:.1f}]" for each in (row.before, row.after)),
            f"{row.difference.mean:+.1f} [{row.difference.low:+.1f}, {row.difference.high:+.1f}]",
        )
    return table
