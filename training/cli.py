"""The sub-commands of `lka-reid` that make models. torch is imported when one runs, not before."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from models import terminal
from models.wording import counted
from training.commands import data as data_command
from training.commands import train as train_command
from training.commands import weights as weights_command
from training.commands.ablation import ablation
from training.commands.adapt import adapt, label
from training.commands.attention import study_attention
from training.commands.calibrate import calibrate
from training.commands.calibrate_default import calibrate_default
from training.commands.comparison import compare_embedders, compare_rerankers
from training.commands.evaluate import evaluate
from training.commands.evaluate_cameras import evaluate_cameras
from training.commands.evaluate_shift import evaluate_shift
from training.commands.exchange import exchange_reranker
from training.commands.export import export
from training.commands.f16 import add_f16
from training.commands.measuring import BUNDLE, BundleFolder
from training.commands.running import Json, ending
from training.commands.second_look import study_second_look
from training.commands.study import study
from training.commands.sweep import sweep
from training.commands.tune import tune

DEMO = Path(__file__).parents[1] / "service" / "demo" / "manifest.csv"
OWN = "Your own cameras"
TRAINING = "Training"
"""Panels of the help of `lka-reid`; what has none is listed by `lka-reid training --help` alone."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Train, measure and export models (needs the [train] extra; add-f16 needs [f16] alone).",
)
app.add_typer(data_command.app, name="data", rich_help_panel=OWN)
app.command(rich_help_panel=OWN)(evaluate)
app.command(rich_help_panel=OWN)(calibrate)
app.command(rich_help_panel=OWN)(tune)
app.command(rich_help_panel=OWN)(adapt)
app.command(rich_help_panel=OWN)(label)
app.add_typer(train_command.app, name="train", rich_help_panel=TRAINING)
app.add_typer(weights_command.app, name="weights", rich_help_panel=TRAINING)
app.command(rich_help_panel=TRAINING)(export)
app.command(rich_help_panel=TRAINING)(exchange_reranker)
app.command(rich_help_panel=TRAINING)(add_f16)
app.command()(evaluate_shift)
app.command()(evaluate_cameras)
app.command()(calibrate_default)
app.command()(ablation)
app.command()(study)
app.command()(study_second_look)
app.command()(study_attention)
app.command()(sweep)
app.command()(compare_rerankers)
app.command()(compare_embedders)


@app.command()
def demo_gallery(
    data: Annotated[Path, typer.Option(help="CSV manifest: path, vehicle_id, camera_id, vehicle_type.")],
    folder: Annotated[Path, typer.Option(help="Gets images/ and manifest.csv.", show_default=False)],
    probe_camera: Annotated[str, typer.Option(help="Whose images are the probes.")] = "cam1",
    bundle: BundleFolder = BUNDLE,
    as_json: Json = False,
) -> None:
    """Copy the images of vehicles that a bundle was not trained on as the demo's gallery and probes."""
    from models.bundle import Bundle
    from training.export.demo_gallery import write_demo_gallery

    with ending():
        count = write_demo_gallery(data, Bundle.load(bundle), folder, probe_camera)
    if as_json:
        terminal.out.print_json(data={"folder": str(folder), "images": count})
    else:
        terminal.out.print(f"{folder}: {counted(count, 'image')}")


@app.command()
def answer_sheet(
    bundle: Annotated[
        Path, typer.Option(help="The bundle that searches.", show_default="the default one")
    ] = BUNDLE,
    manifest: Annotated[
        Path,
        typer.Option(
            help="CSV: path, vehicle_id, role (gallery, and probe or query); or a data set, whose images all "
            "query.",
            show_default="the demo's",
        ),
    ] = DEMO,
    among: Annotated[
        Path | None,
        typer.Option(
            help="A data set of more images, also of the manifest's vehicles: search all, across cameras."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("ranked-answer.png"),
    as_json: Json = False,
) -> None:
    """Draw the matches of probes, by the first stage and by both; correct ones are marked."""
    from training.reporting.answer_sheet import make_answer_sheet

    with ending(writes=[out]):
        counts = make_answer_sheet(bundle, manifest, out, among=among)
    if as_json:
        terminal.out.print_json(data={"out": str(out), "counts": counts})
    else:
        terminal.out.print(f"{out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command()
def summary(as_json: Json = False) -> None:
    """Print both papers' Table II from the networks themselves: parameters and multiply-accumulates."""
    from training.studies.table2 import costs, summary_table
    from training.studies.vit_table import vit_costs, vit_table

    networks, classifiers = costs(), vit_costs()
    if as_json:
        answer = {"networks": list(map(asdict, networks)), "classifiers": list(map(asdict, classifiers))}
        terminal.out.print_json(data=answer)
        return
    terminal.out.print(summary_table(networks))
    terminal.out.print(vit_table(classifiers))
