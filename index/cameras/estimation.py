"""From sums to estimates: what is taken for a camera's mean and deviation, and when it is worth doing.

The constants were measured; `docs/cameras.md` has the tables and the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.cameras.normalisation import Estimate, Normalisation
from index.cameras.sums import NO_CAMERA, CameraSums, Sums

Mode = Literal["off", "on", "auto"]

MEAN_WEIGHT: Final = 2.0
"""Images' worth of the overall estimate in a camera's mean: with so many of its own it counts half."""
VARIANCE_WEIGHT: Final = 100.0
"""The same of the variance, for which more images are needed; the overall one is the same in all dimensions:
the deviations of other cameras' images did harm to an unknown one's."""
UNKNOWN_MEAN: Final = 0.5
"""Share of the mean of all images that is the overall estimate's: how far an unknown camera's mean lies that
way is not known."""
LEAST_DEVIATION: Final = 0.1
"""Of a dimension, as a share of the root mean square of all: below, there is nothing to tell vehicles by."""
LEAST_VARIANCE: Final = 1e-6
"""Of all dimensions together, which is 1 - |mean|^2: below, all images are one."""
AUTO_CAMERAS: Final = 2
AUTO_IMAGES: Final = 10
"""`auto` normalises once so many cameras have so many images each, until fewer have half as many."""
AUTO_SPREAD: Final = 0.3
"""1 - the mean similarity of a camera's images, from which on it has seen traffic for `auto`: 0.7 to 0.85
with the shipped bundle; 0.1 where it has seen one vehicle again and again, whose its mean would be."""
AUTO_SPREAD_LEFT: Final = 0.2
"""Below this much `auto` stops."""
ON_IMAGES: Final = 2
DRIFT_LIMIT: Final = 0.1
"""A new version is due where some camera's descriptors would move by this share of their length."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """What a version is made of.

    Attributes:
        overall: what is taken for an unknown camera, and for images without one.
        cameras: of each camera.
        spread: variance of images of one camera, in the mean of all cameras and dimensions.
    """

    overall: Estimate
    cameras: Mapping[str, Estimate]
    spread: float

    def drift(self, former: Normalisation) -> dict[str, float]:
        """How far each camera's descriptors would move from a version's to these; see `Estimate.shift`."""
        found = {}
        for camera_id, estimate in self.cameras.items():
            used = former.estimate(camera_id)
            found[camera_id] = float("inf") if used is None else used.shift(estimate)
        return found


def estimate(cameras: Mapping[str, CameraSums]) -> Estimates | None:
    """The estimates of all cameras; None where descriptors do not differ, or are fewer than two."""
    pooled = {camera_id: of.pooled for camera_id, of in cameras.items()}
    counted = [sums for sums in pooled.values() if sums.count]
    total = reduce(add, counted) if counted else None
    if total is None or total.count < ON_IMAGES:
        return None
    variance = float(total.variance().mean())
    mean = total.mean()
    if variance * len(mean) < LEAST_VARIANCE:
        return None
    least = LEAST_DEVIATION**2 * variance
    overall = _estimate(total.count, UNKNOWN_MEAN * mean, np.full(len(mean), variance), least)
    spread = sum(sums.count * float(sums.variance().mean()) for sums in counted) / total.count
    return Estimates(
        overall,
        {
            camera_id: _shrunken(sums, overall, _worth(sums, spread), least)
            for camera_id, sums in pooled.items()
            if camera_id != NO_CAMERA and sums.count
        },
        spread,
    )


def is_wanted(mode: Mode, cameras: Mapping[str, CameraSums], *, is_on: bool) -> bool:
    """Whether a mode normalises a gallery of these cameras; `is_on` says whether it does so already."""
    if mode != "auto":
        return mode == "on"
    least = AUTO_IMAGES / 2 if is_on else AUTO_IMAGES
    spread = AUTO_SPREAD_LEFT if is_on else AUTO_SPREAD
    return _seen(cameras, least, spread) >= AUTO_CAMERAS


def are_known(cameras: Mapping[str, CameraSums]) -> bool:
    """Whether enough images of them are known to take cameras out, whatever these show."""
    return _seen(cameras, AUTO_IMAGES, 0.0) >= AUTO_CAMERAS


def weight(sums: Sums, estimates: Estimates | None) -> float:
    """How far a camera's mean is its own, and not half that of all images: 0 to 1."""
    worth = _worth(sums, 0.0 if estimates is None else estimates.spread)
    return worth / (worth + MEAN_WEIGHT)


def _worth(sums: Sums, spread: float) -> float:
    """How many images a camera's are worth: fewer than they are where they are alike, as of one vehicle.

    `spread` is the variance of images of one camera, in the mean of all cameras and dimensions.
    """
    if sums.count < 2 or spread <= 0:
        return float(sums.count > 0)
    own = float(sums.variance().mean()) * sums.count / (sums.count - 1)
    return max(1.0, sums.count * min(1.0, own / spread))


def _seen(cameras: Mapping[str, CameraSums], least: float, spread: float) -> int:
    """How many cameras have so many images that differ so much."""
    named = (of.pooled for camera_id, of in cameras.items() if camera_id != NO_CAMERA)
    return sum(sums.count >= least and _spread(sums) >= spread for sums in named)


def _spread(sums: Sums) -> float:
    """1 - the mean similarity of two of these images."""
    return float(sums.variance().sum()) * sums.count / (sums.count - 1)


def _shrunken(sums: Sums, overall: Estimate, worth: float, least: float) -> Estimate:
    """A camera's estimate, drawn towards the overall one as if its images were so many."""
    own, all_of_them = sums.mean(), overall.mean.astype(np.float64)
    mean = (worth * own + MEAN_WEIGHT * all_of_them) / (worth + MEAN_WEIGHT)
    # About the mean that is used, which is not quite that of the images.
    about = sums.variance() + (own - mean) ** 2
    variance = overall.deviation.astype(np.float64) ** 2
    variance = (worth * about + VARIANCE_WEIGHT * variance) / (worth + VARIANCE_WEIGHT)
    return _estimate(sums.count, mean, variance, least)


def _estimate(count: int, mean: NDArray[np.float64], variance: NDArray[np.float64], least: float) -> Estimate:
    deviation = np.sqrt(np.maximum(variance, least))
    return Estimate(count, mean.astype(np.float32), deviation.astype(np.float32))
