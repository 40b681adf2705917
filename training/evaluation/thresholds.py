"""A bundle's thresholds from embedded images: for descriptors as they are, and without cameras."""

from __future__ import annotations

from collections.abc import Sequence

from models.manifest import Threshold
from training.datasets.image import VehicleImage
from training.evaluation.calibration import Calibration, calibrate
from training.evaluation.cameras import normalisation_of, without_cameras
from training.evaluation.descriptors import Described
from training.evaluation.pairs import Curves
from training.evaluation.protocol import Progress


def both_thresholds(
    described: Described, images: Sequence[VehicleImage], false_match_rate: float, progress: Progress
) -> tuple[Calibration, Curves, Calibration | None]:
    """The threshold of descriptors as they are, its curves, and that of normalised descriptors.

    The second one is None where there are not two cameras with enough images.

    Args:
        described: at least these images.
        images: whose pairs count.
        false_match_rate: wanted.
        progress: receives how far the work is.

    Raises:
        CalibrationError, ValueError: see `calibrate`.
    """
    side = described.side(list(images))
    found, curves = calibrate(
        side, false_match_rate, report=progress.start("Comparing images", 2 * len(images))
    )
    normalisation = normalisation_of(described.descriptors, [image.camera_id for image in described.images])
    if normalisation.is_raw:
        return found, curves, None
    normalised, _ = calibrate(
        without_cameras(side, described.images, normalisation),
        false_match_rate,
        report=progress.start("Comparing images without cameras", 2 * len(images)),
    )
    return found, curves, normalised


def threshold_of(found: Calibration, measured_on: str, fingerprint: str) -> Threshold:
    """A calibration as a manifest keeps it.

    Args:
        found: the calibration.
        measured_on: the images and the question, in words.
        fingerprint: of the bundle that it was measured with.
    """
    return Threshold(
        similarity=found.similarity,
        false_match_rate=found.false_match_rate,
        false_match_interval=found.false_match_interval,
        true_match_rate=found.true_match_rate,
        measured_on=measured_on,
        fingerprint=fingerprint,
    )
