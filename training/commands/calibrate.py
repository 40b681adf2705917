"""`lka-reid calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import out
from models.wording import counted
from training.commands.measuring import BUNDLE, BundleFolder, Data, DataLayout, Runtime, open_both
from training.commands.progress import bars, refuse
from training.commands.running import Json
from training.datasets.layouts import AUTO

if TYPE_CHECKING:
    from training.evaluation.calibration import Calibration

FALSE_ALARMS = 0.1
GALLERY = 100
NOT_WRITTEN = "left as it is (--write, or --bundle with a copy of your own, to keep the threshold)"


def calibrate(
    data: Data,
    bundle: BundleFolder = BUNDLE,
    layout: DataLayout = AUTO,
    false_alarms: Annotated[
        float,
        typer.Option(
            help="How many enrolled images of other vehicles may pass as a match in one search, on average."
        ),
    ] = FALSE_ALARMS,
    gallery: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="Images enrolled in the gallery that is searched.")
    ] = (GALLERY),
    false_match_rate: Annotated[
        float | None,
        typer.Option(
            help="In their place: the share of pairs of different vehicles that may pass as a match.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Which task's images, by name.", show_default="the largest")
    ] = None,
    plot: Annotated[Path, typer.Option(help="The PNG to write: similarities, ROC, DET.")] = Path(
        "calibration.png"
    ),
    write: Annotated[
        bool | None,
        typer.Option(
            "--write/--no-write",
            help="Whether to put the threshold into the bundle.",
            show_default="into one that is named, not into the installed one",
        ),
    ] = None,
    runtime: Runtime = "auto",
    as_json: Json = False,
) -> None:
    """Find the similarity from which on a match is called one, and write it into the bundle.

    It is the lowest threshold with at most so many false alarms per search in a gallery of so many images.
    There are two: one for descriptors as they are, and one for those that a service takes cameras out of,
    where the data has two cameras with enough images.

    False alarms are counted over pairs of images from different cameras. Use vehicles that the bundle was not
    trained on. Where there are too few pairs to count them, the tail of the similarities is followed: 30
    vehicles are enough, and the interval says how sure that is. The bundle's fingerprint stays the same, so
    galleries stay valid. The service reports `is_match` with the threshold once it is restarted.
    """
    from dataclasses import asdict

    from models.bundle import BundleError, write_thresholds
    from models.runtimes.forward import RuntimeNotAvailableError
    from training.atomic import require_writable
    from training.datasets.image import DatasetError
    from training.evaluation.calibration import CalibrationError
    from training.evaluation.calibration_plot import plot_calibration
    from training.evaluation.descriptors import describe
    from training.evaluation.protocol import choose_task
    from training.evaluation.thresholds import both_thresholds, threshold_of
    from training.reporting.provenance import title_of

    question = Question(false_alarms, gallery, false_match_rate)
    writes = bundle != BUNDLE if write is None else write
    try:
        require_writable(plot, *([bundle] if writes else []))
        models, dataset = open_both(bundle, data, layout, runtime)
        chosen = choose_task(dataset, task)
        images = chosen.images()
        with bars() as progress:
            described = describe(
                models.embedder, images, report=progress.start("Embedding images", len(images))
            )
            found, curves, normalised = both_thresholds(described, images, question.rate, progress)
        vehicles = len({image.vehicle_id for image in images})
        measured_on = (
            f"{dataset.folder.resolve().name} ({dataset.layout}), {chosen.name}: "
            f"{counted(len(images), 'image')} of {counted(vehicles, 'vehicle')}, "
            f"{counted(found.negative_pairs, 'pair')} of two vehicles from two cameras"
        )
        title = title_of(models.bundle.manifest.name, measured_on)
        plot_calibration(found, curves, title, plot)
        if writes:
            described_on = f"{measured_on}; {question}"
            write_thresholds(
                bundle,
                threshold_of(found, described_on, models.bundle.fingerprint),
                None
                if normalised is None
                else threshold_of(normalised, described_on, models.bundle.fingerprint),
            )
    except (
        DatasetError,
        BundleError,
        RuntimeNotAvailableError,
        CalibrationError,
        ValueError,
        OSError,
    ) as error:
        raise refuse(error) from None
    if as_json:
        out.print_json(
            data={
                **asdict(found),
                "false_alarms": found.false_match_rate * gallery,
                "gallery": gallery,
                "normalised": normalised and asdict(normalised),
                "measured_on": measured_on,
                "written": writes,
            }
        )
        return
    out.print(f"Measured on {measured_on}", soft_wrap=True)
    _print(found, gallery)
    if normalised is None:
        out.print("There are not two cameras with enough images: no threshold for normalised descriptors.")
    else:
        out.print("With each camera's mean and deviation taken out of descriptors:")
        _print(normalised, gallery)
    out.print(f"Plot                {plot}")
    out.print(f"Bundle              {'threshold written' if writes else NOT_WRITTEN}", soft_wrap=True)


@dataclass(frozen=True)
class Question:
    """What a threshold is to keep to.

    Attributes:
        false_alarms: per search, on average.
        gallery: images in it.
        given: the false-match rate, where that was asked for in their place.
    """

    false_alarms: float
    gallery: int
    given: float | None

    @property
    def rate(self) -> float:
        """Share of pairs of two vehicles that may match."""
        return self.false_alarms / self.gallery if self.given is None else self.given

    def __str__(self) -> str:
        if self.given is not None:
            return f"at most a share of {self.given:g} of the pairs of two vehicles"
        return f"at most {self.false_alarms:g} false alarms per search in a gallery of {self.gallery:,}"


def alarms(number: float) -> str:
    """A number of false alarms per search, without powers of ten."""
    return f"{number:.2g}" if number >= 0.001 or not number else "less than 0.001"


def _print(found: Calibration, gallery: int) -> None:
    low, high = found.false_match_interval
    near, far = found.similarity_interval
    per_search, least, most = (alarms(rate * gallery) for rate in (found.false_match_rate, low, high))
    sure = (
        f"as sure as {found.effective_pairs:,.0f} independent pairs"
        if found.counted
        else "too few pairs to count: by the tail of the similarities"
    )
    out.print(f"Threshold           [bold]{found.similarity:.6f}[/] (95 %: {near:.6f} to {far:.6f})")
    out.print(
        f"False alarms        {per_search} per search in a gallery of {gallery:,} (95 %: {least} to {most})",
        soft_wrap=True,
    )
    out.print(
        f"False-match rate    {found.false_match_rate:.3g} (95 %: {low:.2g} to {high:.2g}, {sure})",
        soft_wrap=True,
    )
    out.print(
        f"True-match rate     {found.true_match_rate:.1%} of {counted(found.positive_pairs, 'pair')} "
        "of one vehicle"
    )
