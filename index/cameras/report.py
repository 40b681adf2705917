"""What a gallery's cameras are to its operator: how many images, how far apart, what normalising does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from index.cameras.estimation import Mode, estimate, weight
from index.cameras.normalisation import CameraUse, Normalisation
from index.cameras.sums import NO_CAMERA, CameraSums, Sums


@dataclass(frozen=True, slots=True)
class Effect:
    """How much nearer a camera's images are to each other than to those of other cameras.

    Attributes:
        images: that it was measured on, of this camera and of others.
        expected: share of this camera's images among the nearest ten if the camera had no influence.
        before: the share by descriptors as they are.
        after: the share by the estimates of this moment.
    """

    images: int
    expected: float
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class CameraState:
    """A camera as the gallery knows it.

    Attributes:
        camera_id: its id.
        enrolled: images in the gallery.
        calibrated: images it was calibrated with.
        use: what the version in force knows of it; see `Normalisation.use`.
        weight: how far its mean is its own, and not half that of all images: 0 to 1.
        distance: of its mean from that of all other images, in deviations, the root mean square over the
            dimensions; None where there are no others.
        drift: how far its descriptors would move by a new version, as a share of their length; None where
            nothing is normalised.
    """

    camera_id: str
    enrolled: int
    calibrated: int
    use: CameraUse
    weight: float
    distance: float | None
    drift: float | None


@dataclass(frozen=True, slots=True)
class CameraOverview:
    """All cameras, and the normalisation in force.

    Attributes:
        mode: what is wanted.
        normalisation: the version in force.
        drift: the largest of a camera's.
        drift_limit: from which on a new version is made.
        is_renewing: whether one is being made.
        seconds: that making the last one took; None before the first.
        cameras: by id.
    """

    mode: Mode | Literal["as found"]
    normalisation: Normalisation
    drift: float
    drift_limit: float
    is_renewing: bool
    seconds: float | None
    cameras: tuple[CameraState, ...]


def states(known: dict[str, CameraSums], in_force: Normalisation) -> tuple[CameraState, ...]:
    """Every camera, by what is known of it and the version in force."""
    if not known:
        return ()
    estimates = estimate(known)
    drifts = {} if estimates is None or in_force.is_raw else estimates.drift(in_force)
    total = reduce(add, (of.pooled for of in known.values()))
    deviation = None if estimates is None else estimates.overall.deviation.astype(np.float64)
    return tuple(
        CameraState(
            camera_id=camera_id,
            enrolled=of.enrolled.count,
            calibrated=of.calibrated.count,
            use=in_force.use(camera_id),
            weight=weight(of.pooled, estimates),
            distance=_distance(of.pooled, total - of.pooled, deviation),
            drift=drifts.get(camera_id),
        )
        for camera_id, of in known.items()
        if camera_id != NO_CAMERA
    )


def _distance(own: Sums, others: Sums, deviation: NDArray[np.float64] | None) -> float | None:
    if not others.count or deviation is None:
        return None
    return float(np.sqrt(np.mean(((own.mean() - others.mean()) / deviation) ** 2)))
