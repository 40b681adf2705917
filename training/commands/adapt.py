"""`lka-reid adapt` and `lka-reid label`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import err, out
from models.wording import counted
from training.commands.calibrate import FALSE_ALARMS, GALLERY, Question
from training.commands.measuring import BUNDLE, Runtime
from training.commands.progress import bars, refuse
from training.commands.running import OWN_CONFIG, Changes, Json, ending, session, show_bundle
from training.tuning.crops import CameraFrom

if TYPE_CHECKING:
    from rich.console import Console

    from models.runtime import Models
    from training.datasets.image import VehicleImage
    from training.tuning.pairs import LabelledPair

Crops = Annotated[Path, typer.Argument(help="A folder of crops of vehicles, unnamed.", show_default=False)]
From = Annotated[
    CameraFrom,
    typer.Option(
        help="What says which camera took a crop: the folder that it lies in, or its name up to `_`."
    ),
]
MostImages = Annotated[int, typer.Option("--images", min=50, help="Look at so many crops at most.")]
OF_LEVEL = {1: 1000, 2: 4000}
"""Crops that are looked at: a threshold follows from few, clusters need vehicles that are seen again."""


def adapt(
    crops: Crops,
    camera_from: From = CameraFrom.folder,
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The bundle to adapt.", show_default="the default one")
    ] = BUNDLE,
    folder: Annotated[Path, typer.Option("--out", help="Gets bundle/ and report/.")] = Path("runs/adapted"),
    pairs: Annotated[
        Path | None,
        typer.Option(help="A CSV of labelled pairs, see `lka-reid label`.", show_default=False),
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="False alarms per search, on average.")] = FALSE_ALARMS,
    gallery: Annotated[int, typer.Option(min=1, help="In a gallery of so many images.")] = GALLERY,
    level: Annotated[
        int,
        typer.Option(min=1, max=2, help="1: thresholds, no training; 2: trains the embedder too."),
    ] = 1,
    tracks: Annotated[
        Path | None,
        typer.Option(
            help="Level 2: a CSV with the columns path, track and, where known, time. Left out, file names "
            "say it, as track7_frame120.jpg.",
            show_default=False,
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            "--images",
            min=50,
            help="Look at so many crops at most.",
            show_default=f"{OF_LEVEL[1]:,}; {OF_LEVEL[2]:,} at level 2",
        ),
    ] = None,
    config: Annotated[
        Path,
        typer.Option(
            help="Level 2: the embedder's configuration to begin with.",
            show_default=OWN_CONFIG.name,
        ),
    ] = OWN_CONFIG,
    changes: Changes = None,
    runtime: Runtime = "auto",
    as_json: Json = False,
) -> None:
    """Adapt a bundle to your cameras by crops of vehicles that nobody has named.

    Level 1 finds thresholds. Nearly all pairs of crops from two cameras are of two vehicles, so their
    similarities say from which on one would be a false alarm. A copy of the bundle gets the thresholds; the
    bundle itself, its models and its fingerprint stay, so galleries stay valid, and serving the old bundle
    again undoes all of it. Where the new threshold calls fewer labelled pairs rightly than the old one, the
    copy keeps the old ones.

    Level 2 trains first: crops that lie close together, cameras taken out, are taken for one vehicle, and so
    are those of a track. It needs --pairs: about 50 labelled pairs decide whether the trained embedder is
    kept, or rolled back. A gallery has to be re-embedded for it. The same command goes on where it was
    stopped.
    """
    from models.bundle import Bundle
    from models.runtime import Models
    from training.evaluation.calibration import CalibrationError
    from training.tuning.adaptation import adapt as find
    from training.tuning.crops import evenly, read_crops
    from training.tuning.pairs import read_pairs

    question = Question(false_alarms, gallery, None)
    with ending(writes=[folder]):
        labelled = read_pairs(pairs) if pairs is not None else []
        everything = read_crops(crops, camera_from)
        models = Models.load(Bundle.load(bundle), runtime)
        chosen = evenly(everything, most or OF_LEVEL[level])
        if level == 2:
            models = _trained(
                models,
                chosen,
                crops,
                tracks,
                labelled,
                folder,
                (config, changes or []),
                runtime,
                err if as_json else out,
            )
            chosen = evenly(chosen, OF_LEVEL[1])
        elif tracks is not None or changes:
            raise typer.BadParameter("--tracks and --set belong to --level 2")
        try:
            with bars() as progress:
                found = find(models, chosen, question.rate, str(question), folder, labelled, progress)
        except (CalibrationError, ValueError) as error:
            raise refuse(error) from None
    if as_json:
        out.print_json(
            data={
                "crops": len(chosen),
                "of": len(everything),
                "pairs": found.raw.pairs,
                "threshold": found.raw.similarity,
                "normalised_threshold": None if found.normalised is None else found.normalised.similarity,
                "labelled": None if found.judged is None else asdict(found.judged),
                "kept": found.kept,
                "report": str(folder / "report"),
                "bundle": str(folder / "bundle"),
            }
        )
        return
    out.print(
        f"{len(chosen):,} of {counted(len(everything), 'crop')}, "
        f"{counted(found.raw.pairs, 'pair')} from two cameras"
    )
    out.print(f"threshold              [bold]{found.raw.similarity:.3f}[/]: {question}", soft_wrap=True)
    if found.normalised is not None:
        out.print(f"normalised threshold   [bold]{found.normalised.similarity:.3f}[/]")
    if found.judged is not None:
        before = "-" if found.judged.before is None else found.judged.before
        out.print(
            f"labelled pairs right   before {before}, after {found.judged.after} of {found.judged.pairs}"
        )
    if not found.kept:
        out.print(
            "[bold]Rolled back:[/] the new threshold calls fewer labelled pairs rightly; the old ones stay"
        )
    show_bundle(folder / "bundle")
    if camera_from is CameraFrom.folder:
        out.print("Teach a running service its cameras, which takes their style out of descriptors:")
        for camera in sorted({image.camera_id for image in everything})[:10]:
            words = shlex.join(["lka-reid", "cameras", "calibrate", camera, str(crops / camera)])
            out.print(f"  {words}", soft_wrap=True, markup=False)


def _trained(
    start: Models,
    images: list[VehicleImage],
    crops: Path,
    tracks: Path | None,
    pairs: Sequence[LabelledPair],
    folder: Path,
    of_config: tuple[Path, Sequence[str]],
    runtime: str,
    console: Console,
) -> Models:
    """What level 2 makes of a bundle: the trained one, or the start where labelled pairs find it worse.

    What is done is printed on `console`.
    """
    from models.runtime import Models
    from training.commands.choices import choices_table
    from training.distributed import choose_device
    from training.evaluation.unlabelled import LEAST
    from training.reporting.provenance import command
    from training.tuning.choices import name_after
    from training.tuning.crops import require_across
    from training.tuning.self_training import (
        SelfTraining,
        agreement,
        known_clusters,
        plan_without_names,
        require_pairs,
        write_decision,
    )
    from training.tuning.tracks import with_tracks

    require_pairs(pairs)
    require_across(images, LEAST)
    device = choose_device("auto").type
    with bars() as progress:
        found = known_clusters(folder, start, with_tracks(images, tracks), progress)
    name = name_after(crops)
    plan, choices = plan_without_names(name, found.images, start.bundle, device, *of_config)
    console.print(choices_table(choices, f"Training {start.bundle.manifest.name} on clusters of {crops}"))
    console.print(
        f"{len(found.images):,} of {counted(found.of, 'crop')} lie in {counted(found.clusters, 'cluster')}, "
        f"{found.across:,} of them before two cameras; {counted(found.tracks, 'track')}, "
        f"{counted(found.apart, 'pair')} of them at once"
    )
    with session(plan.run.device, plan.run.precision) as here:
        training = SelfTraining(
            plan, found, start.bundle, crops, folder, command(sys.argv[1:]), here.reporter,
            process=here.process, stop=here.stop,
        )  # fmt: skip
        trained = training.train()
    if start.reranker is not None and not training.keeps_second_stage:
        console.print("The second stage is left out: its strips come from weights that were trained")
    after = Models.load(trained, runtime)
    with bars() as progress:
        said = agreement(start, after, pairs, progress)
    write_decision(folder, start.bundle, trained, found, said)
    console.print(
        f"labelled pairs in right order: before {100 * said.before:.1f} %, trained {100 * said.after:.1f} "
        f"% of {said.same} of one vehicle against {said.pairs - said.same} of two"
    )
    if said.is_worse:
        console.print("[bold]Rolled back:[/] the trained embedder is worse; the one of before stays")
        return start
    console.print("[bold]Kept:[/] re-embed galleries with `lka-reid gallery re-embed`")
    return after


def label(
    crops: Crops,
    camera_from: From = CameraFrom.folder,
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The bundle that is adapted.", show_default="the default one")
    ] = BUNDLE,
    file: Annotated[Path, typer.Option("--out", help="The CSV to write; a page lies beside it.")] = Path(
        "pairs.csv"
    ),
    count: Annotated[int, typer.Option("--pairs", min=2, help="How many pairs to ask for.")] = 50,
    most: MostImages = 400,
    runtime: Runtime = "auto",
    as_json: Json = False,
) -> None:
    """Choose pairs of crops to label: those about which the threshold is least sure.

    Say of each pair whether it shows one vehicle: in the CSV's column `same` (yes or no), or in the page
    beside it, which opens in a browser without any server and saves the same CSV.
    """
    from models.bundle import Bundle
    from models.runtime import Models
    from training.evaluation.calibration import CalibrationError
    from training.evaluation.descriptors import describe
    from training.evaluation.unlabelled import threshold_without_labels
    from training.tuning.crops import evenly, read_crops
    from training.tuning.label_page import write_page
    from training.tuning.pairs import pairs_to_ask, write_pairs

    with ending(writes=[file]):
        if file.exists():
            raise typer.BadParameter(f"{file} is there already; choose another --out")
        chosen = evenly(read_crops(crops, camera_from), most)
        models = Models.load(Bundle.load(bundle), runtime)
        with bars() as progress:
            described = describe(
                models.embedder, chosen, report=progress.start("Embedding crops", len(chosen))
            )
        side = described.side(chosen)
        try:
            level = threshold_without_labels(side, FALSE_ALARMS / GALLERY).similarity
        except CalibrationError as error:
            raise refuse(error) from None
        asked = pairs_to_ask(chosen, side, level, count)
        write_pairs(file, asked)
        page = file.with_suffix(".html")
        write_page(page, file, asked)
    if as_json:
        out.print_json(data={"pairs": len(asked), "file": str(file), "page": str(page)})
        return
    out.print(f"pairs    {file}: {len(asked)} to label", soft_wrap=True, markup=False)
    out.print(f"page     {page}: open it in a browser", soft_wrap=True, markup=False)
