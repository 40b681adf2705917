"""The thresholds that a bundle is shipped with, from several sets of vehicles that it was not trained on.

The threshold is the highest that any of the sets asks for, so that on none of them a search gets more false
alarms than are allowed there. Rendered vehicles are allowed more: many of them are made alike, up to details.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.datasets.image import VehicleImage
from training.evaluation.calibration import Calibration, calibrate
from training.evaluation.cameras import normalisation_of
from training.evaluation.pairs import Curves
from training.evaluation.retrieval import Side
from training.evaluation.shift.conditions import Embed
from training.evaluation.shift.embedding import ImageSet
from training.evaluation.shift.virtual_cameras import VIRTUAL_CAMERAS
from training.features.extract import Features
from training.studies.shift_material import Material

Cameras = Literal["as they are", "normalised"]
OTHER = "virtual cameras"
GALLERY = 100
"""Images in the gallery that false alarms are counted in."""
FEW, MORE = 0.1, 1.0
"""False alarms per search in it: of photographed vehicles, and of rendered ones."""


@dataclass(frozen=True, eq=False)
class VehicleSet:
    """Images whose pairs from different cameras count.

    Attributes:
        name: of the set.
        images: N of them, with the cameras that descriptors are normalised by.
        descriptors: `[N, d]`.
        cameras: `[N]`; only pairs that differ in it count.
        false_alarms: allowed per search in a gallery of `GALLERY` images.
    """

    name: str
    images: list[VehicleImage]
    descriptors: NDArray[np.float32]
    cameras: NDArray[np.str_]
    false_alarms: float = FEW

    @property
    def vehicles(self) -> int:
        """How many it has."""
        return len({image.vehicle_id for image in self.images})

    def side(self, cameras: Cameras) -> Side:
        """The images as they are compared."""
        descriptors = self.descriptors
        if cameras == "normalised":
            names = [image.camera_id for image in self.images]
            descriptors = normalisation_of(descriptors, names, always=True).apply(descriptors.copy(), names)
        vehicles = np.array([image.vehicle_id for image in self.images])
        return Side(descriptors, np.arange(len(descriptors)), vehicles, self.cameras)


@dataclass(frozen=True)
class Finding:
    """What one set says.

    Attributes:
        of: the set.
        cameras: how descriptors were compared.
        own: the threshold that the set by itself asks for.
        false_match_rate: at the bundle's threshold.
        true_match_rate: at the bundle's threshold.
    """

    of: VehicleSet
    cameras: Cameras
    own: Calibration
    false_match_rate: float
    true_match_rate: float


def vehicle_sets(material: Material, embed: Embed) -> Iterator[VehicleSet]:
    """The sets that are at hand: vehicles before cameras of the training and virtual ones, rendered ones.

    Images of virtual cameras are compared with those of the first camera only: two virtual cameras show the
    same image.
    """
    if material.cameras is not None:
        first = embed(ImageSet("first camera", material.cameras.first))
        second = embed(ImageSet("second camera", material.cameras.second))
        yield _joined("seen cameras", [first, second])
        others = [
            embed(
                ImageSet(
                    f"virtual camera {each.name}",
                    [replace(image, camera_id=each.name) for image in material.cameras.second],
                    each.see,
                )
            )
            for each in VIRTUAL_CAMERAS
        ]
        known = {each.name for each in VIRTUAL_CAMERAS}
        found = _joined("virtual cameras", [first, *others])
        yield replace(found, cameras=np.array([OTHER if name in known else name for name in found.cameras]))
    if material.synthetic is not None and material.synthetic.gallery is not None:
        features = embed(ImageSet(material.synthetic.name, material.synthetic.gallery))
        yield replace(_joined("rendered vehicles", [features]), false_alarms=MORE)


def _joined(name: str, parts: Sequence[Features]) -> VehicleSet:
    images = [image for part in parts for image in part.images]
    descriptors = np.concatenate([np.asarray(part.descriptors, dtype=np.float32) for part in parts])
    return VehicleSet(name, images, descriptors, np.array([image.camera_id for image in images]))


def find_threshold(sets: Sequence[VehicleSet], cameras: Cameras) -> list[Finding]:
    """What each set says of the highest threshold that one of them asks for; that one's stands first.

    Args:
        sets: at least one.
        cameras: how descriptors are compared.

    Raises:
        CalibrationError: see `calibrate`.
    """
    found: list[tuple[VehicleSet, Calibration, Curves]] = []
    for each in sets:
        own, curves = calibrate(each.side(cameras), each.false_alarms / GALLERY)
        found.append((each, own, curves))
    found.sort(key=lambda one: -one[1].similarity)
    highest = found[0][1].similarity
    return [Finding(each, cameras, own, *_rates_at(curves, highest)) for each, own, curves in found]


def measured_on(findings: Sequence[Finding]) -> str:
    """The sets and the rule in words, for a manifest."""
    allowed = ", ".join(
        f"{one.of.false_alarms:g} on {one.of.name} "
        f"({len(one.of.images):,} images of {one.of.vehicles:,} vehicles)"
        for one in sorted(findings, key=lambda one: (one.of.false_alarms, one.of.name))
    )
    return (
        f"at most so many false alarms per search in a gallery of {GALLERY}: {allowed}; "
        f"the figures are those of {findings[0].of.name}, which ask for the highest threshold"
    )


def _rates_at(curves: Curves, similarity: float) -> tuple[float, float]:
    """False- and true-match rate at a threshold."""
    place = min(int(np.searchsorted(curves.edges, similarity)), len(curves.edges) - 1)
    false, true = curves.match_rates()
    return float(false[place]), float(true[place])
