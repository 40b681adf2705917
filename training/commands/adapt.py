"""`lka-reid adapt` and `lka-reid label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.terminal import out
from training.commands.calibrate import FALSE_ALARMS, GALLERY, Question
from training.commands.measuring import BUNDLE, BundleFolder, Runtime
from training.commands.progress import bars, refuse
from training.commands.running import ending
from training.tuning.crops import CameraFrom

Crops = Annotated[Path, typer.Argument(help="A folder of crops of vehicles, unnamed.", show_default=False)]
From = Annotated[
    CameraFrom,
    typer.Option(
        help="What says which camera took a crop: the folder that it lies in, or its name up to `_`."
    ),
]
MostImages = Annotated[int, typer.Option("--images", min=50, help="Look at so many crops at most.")]


def adapt(
    crops: Crops,
    camera_from: From = CameraFrom.folder,
    bundle: BundleFolder = BUNDLE,
    folder: Annotated[Path, typer.Option("--out", help="Gets bundle/ and report/.")] = Path("runs/adapted"),
    pairs: Annotated[
        Path | None,
        typer.Option(help="A CSV of labelled pairs, see `lka-reid label`.", show_default=False),
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="False alarms per search, on average.")] = FALSE_ALARMS,
    gallery: Annotated[int, typer.Option(min=1, help="In a gallery of so many images.")] = GALLERY,
    most: MostImages = 1000,
    runtime: Runtime = "auto",
) -> None:
    """Adapt a bundle's thresholds to your cameras by crops of vehicles that nobody has named; no training.

    Nearly all pairs of crops from two cameras are of two vehicles, so their similarities say from which on
    one would be a false alarm. A copy of the bundle gets the thresholds; the bundle itself, its models and
    its fingerprint stay, so galleries stay valid, and serving the old bundle again undoes all of it. Where
    the new threshold calls fewer labelled pairs rightly than the old one, the copy keeps the old ones.
    """
    from models.bundle import Bundle
    from models.runtime import Models
    from training.evaluation.calibration import CalibrationError
    from training.tuning.adaptation import adapt as find
    from training.tuning.crops import evenly, read_crops
    from training.tuning.pairs import read_pairs

    question = Question(false_alarms, gallery, None)
    with ending():
        labelled = read_pairs(pairs) if pairs is not None else []
        everything = read_crops(crops, camera_from)
        models = Models.load(Bundle.load(bundle), runtime)
        chosen = evenly(everything, most)
        try:
            with bars() as progress:
                found = find(models, chosen, question.rate, str(question), folder, labelled, progress)
        except (CalibrationError, ValueError) as error:
            raise refuse(error) from None
    out.print(f"{len(chosen):,} of {len(everything):,} crops, {found.raw.pairs:,} pairs from two cameras")
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
    out.print(f"bundle   {folder / 'bundle'}   lka-reid serve --bundle {folder / 'bundle'}", soft_wrap=True)
    if camera_from is CameraFrom.folder:
        out.print("Teach a running service its cameras, which takes their style out of descriptors:")
        for camera in sorted({image.camera_id for image in everything})[:10]:
            out.print(f"  lka-reid cameras calibrate {camera} {crops / camera}", soft_wrap=True, markup=False)


def label(
    crops: Crops,
    camera_from: From = CameraFrom.folder,
    bundle: BundleFolder = BUNDLE,
    file: Annotated[Path, typer.Option("--out", help="The CSV to write; a page lies beside it.")] = Path(
        "pairs.csv"
    ),
    count: Annotated[int, typer.Option("--pairs", min=2, help="How many pairs to ask for.")] = 50,
    most: MostImages = 400,
    runtime: Runtime = "auto",
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

    with ending():
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
    out.print(f"pairs    {file}: {len(asked)} to label", soft_wrap=True, markup=False)
    out.print(f"page     {page}: open it in a browser", soft_wrap=True, markup=False)
