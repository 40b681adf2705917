"""Taking cameras out of descriptors as a gallery does, for what is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from index.cameras.estimation import are_known, estimate
from index.cameras.normalisation import RAW, Normalisation
from index.cameras.sums import NO_CAMERA, CameraSums, Sums
from training.datasets.image import VehicleImage
from training.evaluation.result import Indices
from training.evaluation.retrieval import Floats, Side

BLOCK = 256


def normalisation_of(
    descriptors: NDArray[np.floating], cameras: Sequence[str | None], *, always: bool = False
) -> Normalisation:
    """What a gallery of these images takes out of their descriptors, once it normalises.

    Args:
        descriptors: `[n, d]`.
        cameras: of each, None where it is not known.
        always: also where too few images of cameras are known for the service's setting `auto`.
    """
    sums = camera_sums(descriptors, cameras)
    estimates = estimate(sums) if always or are_known(sums) else None
    if estimates is None:
        return RAW
    return Normalisation(overall=estimates.overall, cameras=estimates.cameras)


def camera_sums(descriptors: NDArray[np.floating], cameras: Sequence[str | None]) -> Mapping[str, CameraSums]:
    """The sums that a gallery keeps of these images, by camera."""
    nothing = Sums.nothing(descriptors.shape[1])
    names = np.array([camera or NO_CAMERA for camera in cameras], dtype=object)
    found: dict[str, CameraSums] = {}
    for name in dict.fromkeys(names.tolist()):
        total, rows = nothing, np.flatnonzero(names == name)
        for start in range(0, len(rows), BLOCK):
            total += Sums.of(np.asarray(descriptors[rows[start : start + BLOCK]], dtype=np.float32))
        found[name] = CameraSums(name, total, nothing)
    return found


def without_cameras(side: Side, images: Sequence[VehicleImage], normalisation: Normalisation) -> Side:
    """The side with its descriptors normalised; `images` are those of its store, row by row."""
    cameras = [image.camera_id for image in images]

    def change(descriptors: Floats, rows: Indices) -> Floats:
        return normalisation.apply(descriptors, [cameras[row] for row in rows])

    return replace(side, change=change)
