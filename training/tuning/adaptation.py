"""A bundle adapted to cameras without any name of a vehicle: its thresholds, on a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle, replaced, write_thresholds
from models.manifest import Threshold
from models.runtime import Models
from training.atomic import write_json
from training.datasets.image import VehicleImage
from training.evaluation.cameras import normalisation_of, without_cameras
from training.evaluation.descriptors import describe
from training.evaluation.protocol import Progress
from training.evaluation.unlabelled import Guess, threshold_without_labels
from training.tuning.pairs import LabelledPair, similarities_of


@dataclass(frozen=True)
class Judged:
    """How many labelled pairs two thresholds call rightly.

    Attributes:
        pairs: labelled.
        before: right by the bundle's own threshold; None where it has none.
        after: right by the new one.
    """

    pairs: int
    before: int | None
    after: int

    @property
    def is_worse(self) -> bool:
        """Whether the new threshold calls fewer of them rightly."""
        return self.before is not None and self.after < self.before


@dataclass(frozen=True)
class Adapted:
    """What was found.

    Attributes:
        raw: threshold of descriptors as they are.
        normalised: of those that cameras were taken out of; None where too few images are known of two.
        judged: by labelled pairs; None without any.
        kept: whether the new thresholds are in the copy; else it has those of before.
    """

    raw: Guess
    normalised: Guess | None
    judged: Judged | None
    kept: bool


def adapt(
    models: Models,
    images: list[VehicleImage],
    rate: float,
    question: str,
    folder: Path,
    pairs: Sequence[LabelledPair],
    progress: Progress,
) -> Adapted:
    """Write a copy of a bundle with thresholds for these cameras; the bundle itself stays as it is.

    Args:
        models: the bundle, loaded.
        images: crops of vehicles that are not known, each with its camera.
        rate: share of pairs of two vehicles that may match.
        question: the same in words.
        folder: gets bundle/ and report/adaptation.json.
        pairs: labelled; where the new threshold calls fewer of them rightly, the old ones stay.
        progress: receives how far the work is.

    Raises:
        CalibrationError: too few pairs of images from two cameras.
        DatasetError: an image cannot be read.
    """
    described = describe(models.embedder, images, report=progress.start("Embedding crops", len(images)))
    side = described.side(images)
    raw = threshold_without_labels(side, rate, progress.start("Comparing crops", len(images)))
    normalisation = normalisation_of(described.descriptors, [image.camera_id for image in images])
    normalised = None
    if not normalisation.is_raw:
        normalised = threshold_without_labels(
            without_cameras(side, images, normalisation),
            rate,
            progress.start("Comparing crops without cameras", len(images)),
        )
    bundle = models.bundle
    judged = _judged(models, pairs, bundle.manifest.threshold, raw, progress) if pairs else None
    kept = judged is None or not judged.is_worse
    measured_on = (
        f"{len(images):,} crops of unknown vehicles, {raw.pairs:,} pairs from two cameras; {question}"
    )
    with replaced(folder / "bundle") as draft:
        shutil.copytree(bundle.path, draft, dirs_exist_ok=True)
        if kept:
            write_thresholds(
                draft,
                _threshold(raw, measured_on, bundle),
                None if normalised is None else _threshold(normalised, measured_on, bundle),
            )
    values: dict[str, Any] = {
        "raw": vars(raw),
        "normalised": None if normalised is None else vars(normalised),
        "judged": None if judged is None else vars(judged),
        "kept": kept,
        "measured_on": measured_on,
        "fingerprint": bundle.fingerprint,
    }
    write_json(folder / "report" / "adaptation.json", values)
    return Adapted(raw, normalised, judged, kept)


def _threshold(found: Guess, measured_on: str, bundle: Bundle) -> Threshold:
    return Threshold(
        similarity=found.similarity,
        false_match_rate=found.rate,
        false_match_interval=None,
        true_match_rate=None,
        measured_on=measured_on,
        fingerprint=bundle.fingerprint,
    )


def _judged(
    models: Models,
    pairs: Sequence[LabelledPair],
    before: Threshold | None,
    after: Guess,
    progress: Progress,
) -> Judged:
    similarities = similarities_of(models, pairs, progress)
    same = np.array([pair.same for pair in pairs], dtype=bool)

    def right(threshold: float) -> int:
        return int(((similarities >= threshold) == same).sum())

    return Judged(len(pairs), None if before is None else right(before.similarity), right(after.similarity))
