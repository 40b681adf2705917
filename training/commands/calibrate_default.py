"""`lka-reid calibrate-default`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import out
from training.commands.measuring import (
    BUNDLE,
    BundleFolder,
    Features,
    MeasuredBy,
    Runtime,
    Synthetic,
    TwoCameras,
    kept_embedder,
)
from training.commands.progress import bars
from training.commands.running import EMBEDDER_CONFIG, Json, ending, notes_of, publish_figures

if TYPE_CHECKING:
    from training.reporting.shift_tables import FigureTable
    from training.studies.default_threshold import Finding


def calibrate_default(
    data: TwoCameras = None,
    synthetic: Synthetic = None,
    bundle: BundleFolder = BUNDLE,
    config: MeasuredBy = EMBEDDER_CONFIG,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Whether to put the thresholds into the bundle.")
    ] = True,
    runtime: Runtime = "auto",
    folder: Annotated[
        Path, typer.Option("--out", help="Gets thresholds.md and thresholds.json; keeps features.")
    ] = Path("runs/thresholds"),
    features: Features = None,
    as_json: Json = False,
) -> None:
    """Find the thresholds that a bundle is shipped with, on vehicles that it was not trained on.

    Each set of vehicles (before the cameras of the training, before ten virtual cameras, rendered ones) asks
    for the lowest threshold with at most 0.1 false alarms per search in a gallery of 100 images, rendered
    vehicles with at most 1. The highest of them is written, once for descriptors as they are and once for
    normalised ones. For your own cameras `lka-reid calibrate` finds better ones.
    """
    import torch

    from models.bundle import Bundle, write_thresholds
    from models.runtime import Models
    from training.config.files import load_config
    from training.evaluation.calibration import CalibrationError
    from training.evaluation.thresholds import threshold_of
    from training.studies.default_threshold import find_threshold, measured_on, vehicle_sets
    from training.studies.shift_material import Paths

    with ending(writes=[folder]):
        checked = Bundle.load(bundle)
        material = Paths(data, synthetic).read(checked, load_config(config).data)
        models = Models.load(checked, runtime)
        with bars() as progress:
            embedder = kept_embedder(models, checked, features or folder / "features", progress)
            sets = list(vehicle_sets(material, embedder.embedded))
            try:
                raw, normalised = (find_threshold(sets, way) for way in ("as they are", "normalised"))
            except CalibrationError as error:
                raise typer.BadParameter(str(error)) from None
        if write:
            own = (
                threshold_of(found[0].own, measured_on(found), checked.fingerprint)
                for found in (raw, normalised)
            )
            write_thresholds(bundle, *own)
        notes = [
            f"bundle {checked.manifest.name}, fingerprint {checked.fingerprint}, runtime {models.runtime}",
            *notes_of(torch.device("cpu")),
        ]
        values = {
            "rows": [_row(finding) for finding in (*raw, *normalised)],
            "notes": notes,
            "written": write,
        }
        text, figures = folder / "thresholds.md", folder / "thresholds.json"
        tables = [_table(raw), _table(normalised)]
        publish_figures(tables, notes, values, text, figures, as_json=as_json)
        if not as_json:
            out.print(f"bundle   {'thresholds written' if write else 'left as it is'}   table {text}")


def _row(finding: Finding) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "set": finding.of.name,
        "vehicles": finding.of.vehicles,
        "images": len(finding.of.images),
        "descriptors": finding.cameras,
        "false_match_rate": finding.false_match_rate,
        "true_match_rate": finding.true_match_rate,
        "own": asdict(finding.own),
    }


def _table(findings: list[Finding]) -> FigureTable:
    from training.reporting.shift_tables import FigureTable
    from training.studies.default_threshold import GALLERY

    head = ("vehicles", "number", "allowed", "asks for", "false alarms", "true-match rate")

    def asked(one: Finding) -> str:
        low, high = one.own.similarity_interval
        return f"{one.own.similarity:.3f} [{low:.3f}, {high:.3f}]"

    lines = tuple(
        (
            one.of.name,
            f"{one.of.vehicles:,}",
            f"{one.of.false_alarms:g}",
            asked(one),
            f"{GALLERY * one.false_match_rate:.2f}",
            f"{one.true_match_rate:.1%}",
        )
        for one in findings
    )
    title = (
        f"Descriptors {findings[0].cameras}: threshold {findings[0].own.similarity:.3f}, false alarms per "
        f"search in a gallery of {GALLERY}"
    )
    return FigureTable(title, head, lines)
