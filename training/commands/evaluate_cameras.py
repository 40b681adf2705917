"""`lka-reid evaluate-cameras`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import out
from training.commands.measuring import BUNDLE, BundleFolder, Runtime
from training.commands.progress import bars
from training.commands.running import EMBEDDER_CONFIG, Changes, ending, notes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.reporting.shift_tables import FigureTable
    from training.studies.camera_statistics import Finding


def evaluate_cameras(
    data: Annotated[
        Path | None,
        typer.Option(help="Vehicles before two cameras, for instance vehicle-2cam.", show_default=False),
    ] = None,
    synthetic: Annotated[
        Path | None, typer.Option(help="The data set synthetic-vehicles.", show_default=False)
    ] = None,
    bundle: BundleFolder = BUNDLE,
    config: Annotated[Path, typer.Option(help="Says which vehicles of --data are measured.")] = (
        EMBEDDER_CONFIG
    ),
    changes: Changes = None,
    seed: Annotated[int, typer.Option(min=0, help="Of halves, draws and intervals.")] = 0,
    runtime: Runtime = "auto",
    folder: Annotated[
        Path, typer.Option("--out", help="Gets cameras.md and cameras.json; keeps features.")
    ] = Path("runs/cameras"),
    features: Annotated[
        Path | None,
        typer.Option(
            help="Where descriptors are kept; those of `evaluate-shift` are used again.",
            show_default="OUT/features",
        ),
    ] = None,
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
    from training.atomic import write_json, write_text
    from training.config.files import load_config
    from training.evaluation.shift.embedding import KeptEmbedder
    from training.reporting.provenance import command, environment
    from training.studies.camera_material import camera_searches
    from training.studies.camera_statistics import measure
    from training.studies.shift_material import Paths

    with ending():
        checked = Bundle.load(bundle)
        chosen = load_config(config, changes or [])
        paths = Paths(data, synthetic).read(checked, chosen.data)
        models = Models.load(checked, runtime)
        findings: list[Finding] = []
        with bars() as progress:
            embedder = KeptEmbedder(
                models.embedder,
                f"{checked.fingerprint}/{models.runtime}",
                features or folder / "features",
                progress,
                strips=models.reranker is not None,
            )
            for name, material, searches in camera_searches(paths, embedder.embedded, seed):
                findings += measure(name, material, searches, seed)
        device = torch.device("cpu")
        date = datetime.now(UTC).date().isoformat()
        notes = [
            f"bundle {checked.manifest.name}, fingerprint {checked.fingerprint}, runtime {models.runtime}",
            f"3 draws of the images; intervals: bootstrap over vehicles, seed {seed}",
            *notes_of(device),
            date,
        ]
        table = _table(findings)
        text = f"{table.markdown()}\n\n" + "\n".join(f"- {note}" for note in notes)
        write_text(folder / "cameras.md", f"{text}\n")
        values = {"rows": [asdict(finding) for finding in findings], "notes": notes, "seed": seed}
        write_json(
            folder / "cameras.json", {**values, "command": command(sys.argv[1:]), **environment(device)}
        )
        out.print(table.terminal())
        for note in notes:
            out.print(note, markup=False)
        out.print(f"table   {folder / 'cameras.md'}", soft_wrap=True, markup=False)


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
