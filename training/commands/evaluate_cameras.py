"""`lka-reid evaluate-cameras`."""

from __future__ import annotations

from datetime import UTC, datetime
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
from training.commands.running import EMBEDDER_CONFIG, Changes, Json, ending, notes_of, publish_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.reporting.shift_tables import FigureTable
    from training.studies.camera_statistics import Finding


def evaluate_cameras(
    data: TwoCameras = None,
    synthetic: Synthetic = None,
    bundle: BundleFolder = BUNDLE,
    config: MeasuredBy = EMBEDDER_CONFIG,
    changes: Changes = None,
    seed: Annotated[int, typer.Option(min=0, help="Of halves, draws and intervals.")] = 0,
    runtime: Runtime = "auto",
    folder: Annotated[
        Path, typer.Option("--out", help="Gets cameras.md and cameras.json; keeps features.")
    ] = Path("runs/cameras"),
    features: Features = None,
    as_json: Json = False,
) -> None:
    """Measure what camera normalisation brings where little is known of the probes' camera.

    A gallery of cameras that are well known is searched by images of another one, of which 1, 3, 10, 30 or
    100 images of other vehicles are known, one vehicle alone, some types of vehicles alone, or nothing. Each
    row is compared with the same probes by descriptors as they are.
    """
    from dataclasses import asdict

    import torch

    from models.bundle import Bundle
    from models.runtime import Models
    from training.config.files import load_config
    from training.studies.camera_material import camera_searches
    from training.studies.camera_statistics import DRAWS, measure
    from training.studies.shift_material import Paths

    with ending(writes=[folder]):
        checked = Bundle.load(bundle)
        chosen = load_config(config, changes or [])
        paths = Paths(data, synthetic).read(checked, chosen.data)
        models = Models.load(checked, runtime)
        findings: list[Finding] = []
        with bars() as progress:
            embedder = kept_embedder(models, checked, features or folder / "features", progress)
            for name, material, searches in camera_searches(paths, embedder.embedded, seed):
                findings += measure(name, material, searches, seed)
        date = datetime.now(UTC).date().isoformat()
        notes = [
            f"bundle {checked.manifest.name}, fingerprint {checked.fingerprint}, runtime {models.runtime}",
            f"{DRAWS} draws of the images; intervals: bootstrap over vehicles, seed {seed}",
            *notes_of(torch.device("cpu")),
            date,
        ]
        values = {"rows": [asdict(finding) for finding in findings], "notes": notes, "seed": seed}
        text = folder / "cameras.md"
        figures = folder / "cameras.json"
        publish_figures([_table(findings)], notes, values, text, figures, as_json=as_json)
        if as_json:
            return
        for note in notes:
            out.print(note, markup=False)
        out.print(f"table   {text}", soft_wrap=True, markup=False)


def _table(findings: Sequence[Finding]) -> FigureTable:
    from training.reporting.shift_tables import FigureTable

    lines = tuple(
        (
            f"{finding.data}: {finding.known}",
            finding.count,
            f"{finding.queries:,}",
            f"{finding.plain:.1f}",
            f"{finding.normalised:.1f}",
            f"{finding.difference.mean:+.1f} [{finding.difference.low:+.1f}, {finding.difference.high:+.1f}]",
            f"{finding.drift:.2f}",
        )
        for finding in findings
    )
    head = (
        "known of the probes' camera",
        "images",
        "probes",
        "R1",
        "R1 normalised",
        "difference, 95 %",
        "drift",
    )
    return FigureTable("Camera normalisation where little is known", head, lines)
