"""`lka-reid study-second-look`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import out
from training.commands.measuring import BUNDLE, BundleFolder, Runtime
from training.commands.progress import bars
from training.commands.running import START_CONFIG, Json, ending, notes_of, publish_figures

if TYPE_CHECKING:
    from training.reporting.shift_tables import FigureTable
    from training.studies.second_look_designs import Design, Line


def study_second_look(
    data: Annotated[
        Path, typer.Option(help="Vehicles before two cameras, for instance vehicle-2cam.", show_default=False)
    ],
    synthetic: Annotated[Path, typer.Option(help="The data set synthetic-vehicles.", show_default=False)],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Published ResNet-50 weights, whose trunk takes the second look in place of the bundle's.",
            show_default=False,
        ),
    ] = None,
    bundle: BundleFolder = BUNDLE,
    config: Annotated[
        Path,
        typer.Option(
            help="Says which vehicles of --data are measured, and not learned from.",
            show_default=START_CONFIG.name,
        ),
    ] = START_CONFIG,
    side: Annotated[
        int, typer.Option(min=128, help="Of the second look's images, px; a multiple of 128.")
    ] = 256,
    head_steps: Annotated[int, typer.Option(min=1, help="Training of the second look's parts.")] = 900,
    list_steps: Annotated[int, typer.Option(min=1, help="Training of pair networks.")] = 400,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Vehicles of each set, for a quick look.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of trainings, mixed galleries and intervals.")] = 0,
    runtime: Runtime = "auto",
    folder: Annotated[
        Path, typer.Option("--out", help="Gets table.md, designs.json and curves.png; keeps features.")
    ] = Path("runs/second-look"),
    features: Annotated[
        Path | None,
        typer.Option(
            help="Where descriptors and cells are kept; those of `evaluate-shift` are used again.",
            show_default="OUT/features",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure second stages that differ in where their parts come from.

    A second look takes 4 x 4 parts from the trunk's map at a higher resolution; a pair network sees a probe
    and a candidate together. They learn from candidate lists of training vehicles before camera styles that
    no benchmark uses, and of rendered training vehicles' hard groups. How much the first stage's similarity
    counts is chosen on vehicles and designs set aside from that; then each is measured before seen, virtual
    and mixed cameras and on rendered test vehicles. Features are kept: the same command goes on where it was
    broken off.
    """
    import torch

    from models.bundle import Bundle
    from models.runtime import Models
    from training.checkpoints.weights import weights_hash
    from training.config.files import load_config
    from training.evaluation.shift.embedding import ImageSet, KeptEmbedder
    from training.features.extract import Features
    from training.features.trunk_cells import TrunkCells, bundle_trunk, imagenet_trunk
    from training.reporting.plots import draw_losses
    from training.studies.second_look import Length
    from training.studies.second_look_designs import PARTS, designs, measured
    from training.studies.second_look_material import LearningSets
    from training.studies.shift_material import Paths

    with ending(writes=[folder]):
        if side % 128:
            raise typer.BadParameter(f"--side {side}: a multiple of 128")
        checked = Bundle.load(bundle)
        if checked.manifest.strips is None or checked.manifest.strips[0] != PARTS[0] * PARTS[1]:
            raise typer.BadParameter(
                f"{bundle}: gives parts {checked.manifest.strips}; the designs compare a grid of "
                f"{PARTS[0]} x {PARTS[1]}"
            )
        split = load_config(config).data
        material = Paths(data, synthetic).read(checked, split, limit)
        sets = LearningSets.read(data, synthetic, split, limit)
        models = Models.load(checked, runtime)
        trunk = bundle_trunk(checked, side) if weights is None else imagenet_trunk(weights, side)
        look = f"{weights_hash(trunk)}/cells"
        kept = features or folder / "features"
        found: list[Design] = []
        lines: list[Line] = []
        with bars() as progress:
            identity = f"{checked.fingerprint}/{models.runtime}"
            stored = KeptEmbedder(models.embedder, identity, kept, progress, strips=True)
            cells = KeptEmbedder(TrunkCells(trunk, side), look, kept, progress, strips=True)

            def second_look(wanted: ImageSet) -> Features:
                own = stored.embedded(wanted)
                return Features(own.images, own.descriptors, cells.embedded(wanted).strips)

            for design in designs(
                sets,
                stored.embedded,
                second_look,
                Length(head_steps, max(1, head_steps // 18), vehicles=20),
                Length(list_steps, max(1, list_steps // 16), lists=64),
                seed,
                progress.start,
            ):
                found.append(design)
                lines += measured(design, material, seed)
        curves = {design.name: design.curve for design in found if design.curve}
        draw_losses(curves, folder / "curves.png", "Loss on lists of vehicles that are set aside")
        notes = [
            f"bundle {checked.manifest.name}, fingerprint {checked.fingerprint}, runtime {models.runtime}; "
            f"second look: {weights.name if weights else 'the trunk of the bundle'}, {side} px",
            f"seed {seed}; {head_steps} steps of heads, {list_steps} of pair networks; "
            "intervals: bootstrap over vehicles",
            *([f"a quick look: {limit} vehicles of each set"] if limit else []),
            *notes_of(torch.device("cpu")),
        ]
        values = {"lines": [asdict(line) for line in lines], "curves": curves, "notes": notes}
        tables = [_choices(found), *(_table(lines, way) for way in (True, False))]
        text, figures = folder / "table.md", folder / "designs.json"
        publish_figures(tables, notes, values, text, figures, as_json=as_json)
        if not as_json:
            out.print(f"tables   {text}", soft_wrap=True, markup=False)


def _choices(found: list[Design]) -> FigureTable:
    from training.reporting.shift_tables import FigureTable

    names = list(next(iter(found[0].chosen.moved.values())))

    def cells(design: Design) -> list[str]:
        chosen = design.chosen
        if chosen.weight == float("inf"):
            return ["abstains", *("0 / 0" for _ in names)]
        moved = chosen.moved[chosen.weight]
        return [f"{chosen.weight:g}", *(f"{moved[name][0]} / {moved[name][1]}" for name in names)]

    lines = tuple((design.name, *cells(design)) for design in found)
    return FigureTable(
        "Weight of the first stage, and queries won / lost where it was chosen",
        ("design", "weight", *names),
        lines,
    )


def _table(lines: list[Line], normalised: bool) -> FigureTable:
    from training.reporting.shift_tables import FigureTable

    own = [line for line in lines if line.normalised is normalised]
    conditions = list(dict.fromkeys(line.condition for line in own))
    first = {line.condition: line.first for line in own}
    rows = [("first stage", *(f"{first[condition]:.1f}" for condition in conditions))]
    for design in dict.fromkeys(line.design for line in own):
        of = {line.condition: line for line in own if line.design == design}
        rows.append((design, *(_cell(of[condition]) for condition in conditions)))
    way = "cameras normalised" if normalised else "descriptors as they are"
    return FigureTable(
        f"R1, {way}: points gained with their 95 % interval; queries won / lost; McNemar's p",
        ("design", *conditions),
        tuple(rows),
    )


def _cell(line: Line) -> str:
    gain = line.gain
    interval = f"{gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})"
    return f"{line.both:.1f}: {interval}; {line.won} / {line.lost}; {line.p:.1g}"
