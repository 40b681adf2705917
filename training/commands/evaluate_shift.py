"""`lka-reid evaluate-shift`."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import err, out
from training.commands.measuring import BUNDLE, BundleFolder, Runtime
from training.commands.progress import bars
from training.commands.running import EMBEDDER_CONFIG, Changes, ending, notes_of, session

if TYPE_CHECKING:
    from training.config.embedder import ExperimentConfig
    from training.evaluation.shift.conditions import Kind
    from training.evaluation.shift.findings import Row
    from training.studies.shift_material import Paths

ENOUGH_FOLDS = 5
"""Fewer, or smaller images or a shorter training than the configuration's, are called reduced."""


def evaluate_shift(
    data: Annotated[
        Path | None,
        typer.Option(help="Vehicles before two cameras, for instance vehicle-2cam.", show_default=False),
    ] = None,
    synthetic: Annotated[
        Path | None, typer.Option(help="The data set synthetic-vehicles.", show_default=False)
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Images whose vehicle_id is a class, for instance cars196-dev.", show_default=False
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Published ResNet-50 weights: measured on --classes beside the bundle; with --folds, what "
            "each embedder starts from.",
            show_default=False,
        ),
    ] = None,
    bundle: BundleFolder = BUNDLE,
    config: Annotated[
        Path, typer.Option(help="Says which vehicles of --data are measured; with --folds, the training.")
    ] = EMBEDDER_CONFIG,
    changes: Changes = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Measure embedders trained for it in place of a bundle, each on a fold of the vehicles.",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Some of the conditions, joined by commas.", show_default="all that have data"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=2, help="Measure so many vehicles of each set, for a quick look.", show_default="all"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of mixed galleries and intervals.")] = 0,
    runtime: Runtime = "auto",
    folder: Annotated[
        Path, typer.Option("--out", help="Gets table.md and shift.json; keeps features and fold embedders.")
    ] = Path("runs/shift"),
    features: Annotated[
        Path | None,
        typer.Option(help="Where descriptors and strips are kept.", show_default="OUT/features"),
    ] = None,
) -> None:
    """Measure a bundle before cameras that nothing was trained on, each remedy beside the plain first stage.

    Conditions: *seen* (the vehicles held out of the training, before its two cameras), *virtual* (the second
    camera's images as ten virtual cameras would have taken them), *mixed* (one gallery with some vehicles
    before a virtual camera), *degraded* (bad probes), *synthetic* (rendered vehicles before other cameras),
    *classes* (class retrieval, R1 being Recall@1). Descriptors are kept: the same command goes on where it
    was broken off, and measures another time without embedding.
    """
    from training.config.files import load_config
    from training.studies.shift_material import Paths

    with ending():
        kinds = _kinds(only)
        chosen = load_config(config, changes or [])
        paths = Paths(data, synthetic, classes)
        kept = features or folder / "features"
        if folds is None:
            rows, notes = _of_bundle(
                bundle, chosen, paths, kinds, kept, weights=weights, limit=limit, seed=seed, runtime=runtime
            )
        else:
            whole = load_config(config)
            rows, notes = _of_folds(
                folds, chosen, whole, paths, kinds, folder, kept, weights=weights, limit=limit, seed=seed
            )
        _publish(folder, rows, [*notes, *_common_notes(kinds, limit, seed)], seed)


def _kinds(only: str | None) -> list[Kind]:
    from training.evaluation.shift.conditions import Kind

    names = [name.strip() for name in only.split(",")] if only else list(Kind)
    unknown = [name for name in names if name not in list(Kind)]
    if unknown:
        raise typer.BadParameter(f"--only {unknown[0]}: there are {', '.join(Kind)}")
    return [Kind(name) for name in names]


def _of_bundle(
    bundle: Path,
    config: ExperimentConfig,
    paths: Paths,
    kinds: list[Kind],
    features: Path,
    *,
    weights: Path | None,
    limit: int | None,
    seed: int,
    runtime: str,
) -> tuple[list[Row], list[str]]:
    """The rows of a bundle, and what they are of."""
    from models.bundle import Bundle
    from models.runtime import Models
    from training.studies.shift import measure_bundle

    checked = Bundle.load(bundle)
    material = paths.read(checked, config.data, limit)
    models = Models.load(checked, runtime)
    with bars() as progress:
        rows = measure_bundle(models, material, kinds, features, progress, weights=weights, seed=seed)
    for kind in kinds:
        if kind not in material.kinds():
            err.print(f"no {kind}: its images were not given", markup=False)
    name = checked.manifest.name
    return rows, [f"bundle {name}, fingerprint {checked.fingerprint}, runtime {models.runtime}"]


def _of_folds(
    folds: int,
    config: ExperimentConfig,
    whole: ExperimentConfig,
    paths: Paths,
    kinds: list[Kind],
    folder: Path,
    features: Path,
    *,
    weights: Path | None,
    limit: int | None,
    seed: int,
) -> tuple[list[Row], list[str]]:
    """The rows of embedders trained for their fold, and what they are of.

    Args:
        config: of their training.
        whole: the configuration file itself, to say what was reduced.
    """
    from training.datasets.image import DatasetError
    from training.datasets.layouts import open_dataset
    from training.reporting.provenance import sources_of
    from training.studies.shift import FoldStudy
    from training.studies.shift_material import limited

    if paths.cameras is None:
        raise DatasetError("--folds measures vehicles before two cameras; give them as --data")
    dataset = open_dataset(paths.cameras, config.data.layout)
    dataset = replace(dataset, train=limited(dataset.train, limit))
    sources = sources_of(paths.cameras, dataset.train, weights)
    with session(config.run.device, config.run.precision) as here:
        study = FoldStudy(config, weights, folder, sources, here.reporter, here.stop)
        rows = study.measure(config.data.parts(dataset, folds), kinds, features, seed=seed)
    height, width = config.network.image_size
    length = config.schedule.epochs
    shorter = length < whole.schedule.epochs or (height, width) < whole.network.image_size
    reduced = "reduced: " if shorter or folds < ENOUGH_FOLDS else ""
    start = weights.name if weights is not None else "nothing"
    return rows, [
        f"{reduced}{folds} folds by identity, each measured by an embedder that has not seen it; "
        f"{config.name}, {height}x{width} px, {length} epochs, from {start}; no second stage"
    ]


def _common_notes(kinds: list[Kind], limit: int | None, seed: int) -> list[str]:
    from training.evaluation.shift.conditions import OF_TWO_CAMERAS

    notes = [
        "cameras normalised: each camera's mean and deviation, over the gallery's and the queries' images of "
        "that camera and without any label, are taken out of its descriptors; the second stage's strips stay",
        f"intervals: bootstrap over vehicles, seed {seed}; McNemar's p takes queries for independent, which "
        "those of one vehicle before ten virtual cameras are not: go by the interval there",
    ]
    if not any(kind in OF_TWO_CAMERAS for kind in kinds):
        notes.pop(0)
    return notes + ([f"a quick look: {limit} vehicles of each set"] if limit else [])


def _publish(folder: Path, rows: list[Row], notes: list[str], seed: int) -> None:
    """Write tables and values with where they come from, and print the tables."""
    import torch

    from training.atomic import write_json, write_text
    from training.reporting.provenance import command, environment
    from training.reporting.shift_tables import figure_tables

    device = torch.device("cpu")
    date = datetime.now(UTC).date().isoformat()
    tables = figure_tables(rows)
    lines = [f"- {note}" for note in (*notes, *notes_of(device), date)]
    text = "\n\n".join([*(table.markdown() for table in tables), "\n".join(lines)])
    write_text(folder / "table.md", f"{text}\n")
    values = {"rows": [row.as_json() for row in rows], "notes": notes, "seed": seed, "date": date}
    write_json(folder / "shift.json", {**values, "command": command(sys.argv[1:]), **environment(device)})
    for table in tables:
        out.print(table.terminal())
    for note in notes:
        out.print(note, markup=False)
    out.print(f"tables   {folder / 'table.md'}   {folder / 'shift.json'}", soft_wrap=True, markup=False)
