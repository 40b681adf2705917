"""The sub-commands of `lka-reid` that make models. torch is imported when one runs, not before."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands import data as data_command
from training.commands import train as train_command
from training.commands.ablation import ablation
from training.commands.calibrate import calibrate
from training.commands.comparison import compare_rerankers
from training.commands.evaluate import evaluate
from training.commands.exchange import exchange_reranker
from training.commands.measuring import BUNDLE, BundleFolder
from training.commands.running import ending
from training.commands.study import study

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Train, measure and export models (needs the [train] extra).",
)
app.add_typer(data_command.app, name="data")
app.add_typer(train_command.app, name="train")
app.command()(evaluate)
app.command()(calibrate)
app.command()(ablation)
app.command()(study)
app.command()(compare_rerankers)
app.command()(exchange_reranker)

Data = Annotated[
    Path,
    typer.Option(
        help="CSV manifest: path, vehicle_id, camera_id, vehicle_type.", dir_okay=False, exists=True
    ),
]
Weights = Annotated[
    Path, typer.Option(help="ImageNet ResNet-50, safetensors, v1 layout.", dir_okay=False, exists=True)
]
Out = Annotated[Path, typer.Option(help="The run's folder; finished parts in it are not made again.")]


class Precision(StrEnum):
    """How the weights of an exported network are stored."""

    fp32 = "fp32"
    int8 = "int8"


@app.command()
def export(
    data: Data,
    weights: Weights,
    out: Out = Path("runs/default"),
    bundle: Annotated[Path, typer.Option(help="Where the bundle goes.")] = Path("models/bundles/default"),
    name: Annotated[str, typer.Option(help="The model's name.")] = "lka-reid-vehicle-2cam",
    precision: Annotated[Precision, typer.Option(help="How weights are stored.")] = Precision.int8,
    torch_weights: Annotated[
        bool, typer.Option("--torch-weights", help="Also write float32 weights for the runtime torch-cuda.")
    ] = False,
) -> None:
    """Write a trained run as a bundle, after proving that ONNX Runtime agrees with torch."""
    from training.pipeline import Run, Sources
    from training.recipe import Recipe
    from training.reporting.terminal import ConsoleReporter, accuracy_table
    from training.shipment import ship
    from training.signals import listening

    console = Console()
    words = [f"--data {data.name}", f"--weights {weights.name}", f"--out {out.name}"]
    commands = [
        f"lka-reid train default-bundle {' '.join(words)}",
        f"lka-reid export {' '.join(words)} --precision {precision}" + " --torch-weights" * torch_weights,
    ]
    with ending(), listening() as interruption, ConsoleReporter(console) as reporter:
        run = Run(out, Recipe(), Sources(data, weights), reporter, interruption)
        told = [shlex.join(shlex.split(command)) for command in commands]
        parity = ship(run, bundle, name, precision.value, told, torch_weights=torch_weights)
    from models.bundle import Bundle

    written = Bundle.load(bundle)
    if written.manifest.accuracy is not None:
        console.print(accuracy_table(written.manifest.accuracy))
    console.print(
        f"{bundle}: {sum(f.bytes for f in written.manifest.files.values()) / 1e6:.1f} MB, "
        f"cosine to torch at least {parity.cosine:.6f}, fingerprint {written.fingerprint[:12]}"
    )


@app.command()
def demo_gallery(
    data: Data,
    folder: Annotated[Path, typer.Option(help="Gets images/ and manifest.csv.")] = Path("service/demo"),
    probe_camera: Annotated[str, typer.Option(help="Whose images are the probes.")] = "cam1",
    bundle: BundleFolder = BUNDLE,
) -> None:
    """Copy the images of vehicles that a bundle was not trained on as the demo's gallery and probes."""
    from models.bundle import Bundle
    from training.export.demo_gallery import write_demo_gallery

    with ending():
        count = write_demo_gallery(data, Bundle.load(bundle), folder, probe_camera)
    Console().print(f"{folder}: {count} images")


@app.command()
def answer_sheet(
    bundle: Annotated[Path, typer.Option(help="The bundle that searches.")] = Path("models/bundles/default"),
    manifest: Annotated[Path, typer.Option(help="CSV: path, vehicle_id, role (gallery or probe).")] = Path(
        "service/demo/manifest.csv"
    ),
    among: Annotated[
        Path | None,
        typer.Option(
            help="CSV of more images, also of the manifest's vehicles: search all of them, across cameras."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("docs/ranked-answer.png"),
) -> None:
    """Draw ranked matches: probe, first stage, both stages, the correct ones marked."""
    from training.reporting.answer_sheet import make_answer_sheet

    counts = make_answer_sheet(bundle, manifest, out, among=among)
    Console().print(f"{out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command()
def summary() -> None:
    """Print the four rows of Table II from the network itself: mixers, parameters, multiply-accumulates."""
    from training.studies.table2 import summary_table

    Console().print(summary_table())
