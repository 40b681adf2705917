"""`lka-reid calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.terminal import out
from training.commands.measuring import BUNDLE, BundleFolder, Data, DataLayout, Runtime, open_both
from training.commands.progress import bars, refuse
from training.datasets.layouts import AUTO

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.manifest import Threshold
    from training.evaluation.calibration import Calibration


def calibrate(
    data: Data,
    bundle: BundleFolder = BUNDLE,
    layout: DataLayout = AUTO,
    false_match_rate: Annotated[
        float, typer.Option(help="Wanted share of pairs of different vehicles that pass as a match.")
    ] = 1e-3,
    task: Annotated[
        str | None, typer.Option(help="Which task's images, by name.", show_default="the largest")
    ] = None,
    plot: Annotated[Path, typer.Option(help="The PNG to write: similarities, ROC, DET.")] = Path(
        "calibration.png"
    ),
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Whether to put the threshold into the bundle.")
    ] = True,
    runtime: Runtime = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find the similarity threshold for a wanted false-match rate and write it into the bundle.

    There are two: one for descriptors as they are, and one for those that a service takes cameras out of,
    where the data has two cameras with enough images.

    The rate is counted over pairs of images from different cameras. Use vehicles that the bundle was not
    trained on. A rate for which there are too few pairs is refused. The bundle's fingerprint stays the same,
    so galleries stay valid. The service reports `is_match` with the threshold once it is restarted.
    """
    from dataclasses import asdict

    from models.bundle import BundleError, write_thresholds
    from models.runtimes.forward import RuntimeNotAvailableError
    from training.datasets.image import DatasetError
    from training.evaluation.calibration import CalibrationError
    from training.evaluation.calibration import calibrate as find_threshold
    from training.evaluation.calibration_plot import plot_calibration
    from training.evaluation.cameras import normalisation_of, without_cameras
    from training.evaluation.descriptors import describe
    from training.evaluation.protocol import choose_task

    try:
        models, dataset = open_both(bundle, data, layout, runtime)
        chosen = choose_task(dataset, task)
        images = chosen.images()
        with bars() as progress:
            described = describe(
                models.embedder, images, report=progress.start("Embedding images", len(images))
            )
            side = described.side(images)
            found, curves = find_threshold(
                side, false_match_rate, report=progress.start("Comparing images", 2 * len(images))
            )
            normalisation = normalisation_of(
                described.descriptors, [image.camera_id for image in described.images]
            )
            normalised = None
            if not normalisation.is_raw:
                normalised, _ = find_threshold(
                    without_cameras(side, described.images, normalisation),
                    false_match_rate,
                    report=progress.start("Comparing images without cameras", 2 * len(images)),
                )
        vehicles = len({image.vehicle_id for image in images})
        measured_on = (
            f"{dataset.folder.resolve().name} ({dataset.layout}), {chosen.name}: {len(images):,} images of "
            f"{vehicles:,} vehicles, {found.negative_pairs:,} pairs of two vehicles from two cameras"
        )
        plot_calibration(found, curves, f"{models.bundle.manifest.name} on {measured_on}", plot)
        if write:
            write_thresholds(
                bundle,
                _threshold(found, measured_on, models.bundle),
                None if normalised is None else _threshold(normalised, measured_on, models.bundle),
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
                "normalised": normalised and asdict(normalised),
                "measured_on": measured_on,
                "written": write,
            }
        )
        return
    out.print(f"Measured on {measured_on}", soft_wrap=True)
    _print(found)
    if normalised is None:
        out.print("There are not two cameras with enough images: no threshold for normalised descriptors.")
    else:
        out.print("With each camera's mean and deviation taken out of descriptors:")
        _print(normalised)
    out.print(f"Plot                {plot}")
    out.print(f"Bundle              {'threshold written' if write else 'left as it is'}")


def _threshold(found: Calibration, measured_on: str, bundle: Bundle) -> Threshold:
    from models.manifest import Threshold

    return Threshold(
        similarity=found.similarity,
        false_match_rate=found.false_match_rate,
        false_match_interval=found.false_match_interval,
        true_match_rate=found.true_match_rate,
        measured_on=measured_on,
        fingerprint=bundle.fingerprint,
    )


def _print(found: Calibration) -> None:
    low, high = found.false_match_interval
    near, far = found.similarity_interval
    out.print(f"Threshold           [bold]{found.similarity:.6f}[/] (95 %: {near:.6f} to {far:.6f})")
    out.print(
        f"False-match rate    {found.false_match_rate:.3g} (95 %: {low:.2g} to {high:.2g}, "
        f"as sure as {found.effective_pairs:,.0f} independent pairs)",
        soft_wrap=True,
    )
    out.print(
        f"True-match rate     {found.true_match_rate:.1%} of {found.positive_pairs:,} pairs of one vehicle"
    )
