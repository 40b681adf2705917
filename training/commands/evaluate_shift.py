"""`lka-reid evaluate-shift`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import err, out
from training.commands.measuring import BUNDLE, BundleFolder, Runtime, Synthetic, TwoCameras, kinds_of
from training.commands.progress import bars
from training.commands.running import START_CONFIG, Changes, Json, ending, notes_of, publish_figures, session

if TYPE_CHECKING:
    from training.config.embedder import ExperimentConfig
    from training.evaluation.shift.conditions import Kind
    from training.evaluation.shift.findings import Row
    from training.studies.shift_material import Paths

ENOUGH_FOLDS = 5
"""Fewer, or smaller images or a shorter training than the configuration's, are called reduced."""


def evaluate_shift(
    data: TwoCameras = None,
    synthetic: Synthetic = None,
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
        Path,
        typer.Option(
            help="Says which vehicles of --data are measured; with --folds, the training.",
            show_default=START_CONFIG.name,
        ),
    ] = START_CONFIG,
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
        typer.Option(
            help="Some of the conditions, joined by commas.",
            show_default="all that have data but occluded",
        ),
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
    write: Annotated[
        bool,
        typer.Option(
            "--write/--no-write",
            help="Whether to put figures into the bundle's manifest, in place of those that it has: of one "
            "whole measurement, without --only, --limit and --folds.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a bundle before cameras that nothing was trained on, each remedy beside the plain first stage.

    Conditions: *seen* (the vehicles held out of the training, before its two cameras), *virtual* (the second
    camera's images as ten virtual cameras would have taken them), *mixed* (one gallery with some vehicles
    before a virtual camera), *degraded* (bad probes), *synthetic* (rendered vehicles before other cameras),
    *classes* (class retrieval, R1 being Recall@1); and, where --only names it, *occluded* (probes of which
    20, 40, 60 or 80 % are hidden). Descriptors are kept: the same command goes on where it was broken off,
    and measures another time without embedding.
    """
    from training.config.files import load_config
    from training.studies.shift_material import Paths

    with ending(writes=[folder]):
        asked = _Asked(
            Paths(data, synthetic, classes),
            kinds_of(only),
            only is not None,
            weights,
            features or folder / "features",
            limit,
            seed,
        )
        chosen = load_config(config, changes or [])
        if write and (folds is not None or limit is not None or only is not None):
            raise typer.BadParameter(
                "--write is for a whole measurement, without --folds, --limit and --only"
            )
        if folds is None:
            rows, notes = _of_bundle(bundle, runtime, chosen, asked, write=write)
        else:
            rows, notes = _of_folds(folds, chosen, load_config(config), folder, asked)
        _publish(folder, rows, [*notes, *_common_notes(asked)], seed, as_json=as_json)
        if write:
            _write(bundle, rows, seed)
            if not as_json:
                out.print(f"bundle   {bundle}   figures written", soft_wrap=True, markup=False)


@dataclass(frozen=True)
class _Asked:
    """What is to be measured, of a bundle or of folds; see the options.

    `named` says whether --only names the kinds: each of them must be measured then.
    """

    paths: Paths
    kinds: list[Kind]
    named: bool
    weights: Path | None
    features: Path
    limit: int | None
    seed: int


def _of_bundle(
    folder: Path, runtime: str, config: ExperimentConfig, asked: _Asked, *, write: bool
) -> tuple[list[Row], list[str]]:
    """The rows of a bundle, and what they are of.

    Args:
        folder: of the bundle.
        runtime: that runs it.
        config: says which vehicles are measured.
        asked: what is to be measured.
        write: whether the rows are to replace those of the manifest.

    Raises:
        DatasetError: a kind that --only names has no data, the data cannot give what the manifest has, or
            they cannot be read.
        BundleError, RuntimeNotAvailableError: the bundle or the runtime cannot be used.
    """
    from models.bundle import Bundle
    from models.runtime import Models
    from training.studies.shift import measure_bundle

    bundle = Bundle.load(folder)
    if asked.named:
        asked.paths.require(asked.kinds)
    if write and bundle.manifest.shift is not None:
        asked.paths.require_all_of(row.condition for row in bundle.manifest.shift.rows)
    material = asked.paths.read(bundle, config.data, asked.limit)
    models = Models.load(bundle, runtime)
    with bars() as progress:
        rows = measure_bundle(
            models, material, asked.kinds, asked.features, progress, weights=asked.weights, seed=asked.seed
        )
    for kind in asked.kinds:
        if kind not in material.kinds():
            err.print(f"no {kind}: its images were not given", markup=False)
    return rows, [
        f"bundle {bundle.manifest.name}, fingerprint {bundle.fingerprint}, runtime {models.runtime}"
    ]


def _of_folds(
    folds: int, config: ExperimentConfig, whole: ExperimentConfig, folder: Path, asked: _Asked
) -> tuple[list[Row], list[str]]:
    """The rows of embedders trained for their fold, and what they are of.

    Args:
        folds: number of them.
        config: of the embedders' training.
        whole: the configuration file without changes, to say what was reduced.
        folder: keeps the embedders.
        asked: what is to be measured.
    """
    from training.datasets.image import DatasetError
    from training.datasets.layouts import open_dataset
    from training.evaluation.shift.conditions import OF_TWO_CAMERAS
    from training.reporting.provenance import sources_of
    from training.studies.shift import FoldStudy
    from training.studies.shift_material import limited

    data, weights = asked.paths.cameras, asked.weights
    if data is None:
        raise DatasetError("--folds measures vehicles before two cameras; give them as --data")
    if asked.named and (others := [kind for kind in asked.kinds if kind not in OF_TWO_CAMERAS]):
        raise typer.BadParameter(f"--only {others[0]}: with --folds there are {', '.join(OF_TWO_CAMERAS)}")
    dataset = open_dataset(data, config.data.layout)
    dataset = replace(dataset, train=limited(dataset.train, asked.limit))
    sources = sources_of(data, dataset.train, weights)
    with session(config.run.device, config.run.precision) as here:
        study = FoldStudy(config, weights, folder, sources, here.reporter, here.stop)
        parts = config.data.parts(dataset, folds)
        rows = study.measure(parts, asked.kinds, asked.features, seed=asked.seed)
    size, epochs = config.network.image_size, config.schedule.epochs
    shorter = epochs < whole.schedule.epochs or size < whole.network.image_size
    reduced = "reduced: " if shorter or folds < ENOUGH_FOLDS else ""
    start = weights.name if weights is not None else "nothing"
    return rows, [
        f"{reduced}{folds} folds by identity, each measured by an embedder that has not seen it; "
        f"{config.name}, {size[0]}x{size[1]} px, {epochs} epochs, from {start}; no second stage"
    ]


def _common_notes(asked: _Asked) -> list[str]:
    notes = [
        "cameras normalised: each camera's mean and deviation, over the gallery's and the queries' images of "
        "that camera and without any label, are taken out of its descriptors; the second stage's strips stay",
        f"intervals: bootstrap over vehicles, seed {asked.seed}; McNemar's p takes queries for independent, "
        "which those of one vehicle before ten virtual cameras are not: go by the interval there",
    ]
    return notes + ([f"a quick look: {asked.limit} vehicles of each set"] if asked.limit else [])


def _publish(folder: Path, rows: list[Row], notes: list[str], seed: int, *, as_json: bool) -> None:
    """Write tables and values with where they come from, and print them."""
    import torch

    from training.reporting.shift_tables import figure_tables

    date = datetime.now(UTC).date().isoformat()
    lines = [*notes, *notes_of(torch.device("cpu")), date]
    values = {"rows": [row.as_json() for row in rows], "notes": notes, "seed": seed, "date": date}
    text, figures = folder / "table.md", folder / "shift.json"
    publish_figures(figure_tables(rows), lines, values, text, figures, as_json=as_json)
    if as_json:
        return
    for note in notes:
        out.print(note, markup=False)
    out.print(f"tables   {text}   {figures}", soft_wrap=True, markup=False)


def _write(bundle: Path, rows: list[Row], seed: int) -> None:
    """Put the bundle's own rows into its manifest."""
    from models.bundle import Bundle, write_shift
    from models.shift import Share, Shift, ShiftRow
    from training.studies.shift import BUNDLE

    own = [row for row in rows if row.embedder == BUNDLE]
    found = Shift(
        measured_on=f"lka-reid evaluate-shift, seed {seed}; intervals over vehicles",
        rows=tuple(
            ShiftRow(
                condition=row.condition,
                variant=row.variant,
                queries=row.queries,
                vehicles=row.vehicles,
                gallery=row.gallery,
                **{name: Share(**asdict(share)) for name, share in row.figures.items()},
            )
            for row in own
        ),
    )
    write_shift(bundle, found, Bundle.load(bundle).fingerprint)
