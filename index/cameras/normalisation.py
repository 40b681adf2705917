"""Taking a camera out of descriptors: (x - mean) / deviation, to unit length again.

Descriptors of one camera have light, road and optics in common, so that a vehicle is nearer to another one
before the same camera than to itself before another ("camera bias", arXiv 2502.10195). A `Normalisation` is a
set of estimates that does not change: the gallery's vectors are made by one, and so are the probes that are
compared with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

RAW_TOKEN: Final = 0

CameraUse = Literal["known", "global", "off"]


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Mean and deviation of a camera's descriptors.

    Attributes:
        count: images that it comes from.
        mean: `[d]`.
        deviation: `[d]`, none of them 0.
    """

    count: int
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Mean and deviation, one after the other."""
        return np.stack([self.mean, self.deviation]).astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, count: int, data: bytes) -> Estimate:
        """What `to_bytes` gave, with the count beside it."""
        mean, deviation = np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(2, -1)
        return cls(count, mean, deviation)

    def shift(self, newer: Estimate) -> float:
        """How far a newer estimate would move the camera's normalised descriptors: a share of their length.

        To first order: with z a normalised descriptor before its length is made 1, the newer one moves it by
        (newer mean - mean) / deviation + z (newer deviation / deviation - 1). This is the root mean square of
        that over the dimensions, with z of mean square 1.
        """
        moved = (newer.mean.astype(np.float64) - self.mean) / self.deviation
        stretched = newer.deviation.astype(np.float64) / self.deviation - 1
        return float(np.sqrt(np.mean(moved**2 + stretched**2)))


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """One version of a gallery's estimates.

    Attributes:
        version: counts up with every switch, 0 before the first.
        token: random, and RAW_TOKEN where descriptors stay as they are; vectors of two tokens are not
            compared.
        overall: for images of an unknown camera, or of none: half the mean of all, and one deviation for all
            dimensions. None where descriptors stay as they are.
        cameras: of those that have an estimate of their own.
        made_at: when, in UTC; None before the first.
    """

    version: int = 0
    token: int = RAW_TOKEN
    overall: Estimate | None = None
    cameras: Mapping[str, Estimate] = field(default_factory=dict)
    made_at: datetime | None = None

    @property
    def is_raw(self) -> bool:
        """Whether descriptors stay as they are."""
        return self.overall is None

    def use(self, camera_id: str | None) -> CameraUse:
        """What it knows of a camera: `known`, `global` for one that gets the estimate of all, or `off`."""
        if self.overall is None:
            return "off"
        return "known" if camera_id in self.cameras else "global"

    def estimate(self, camera_id: str | None) -> Estimate | None:
        """What a camera's descriptors are normalised by; None where they stay as they are."""
        return self.overall if camera_id is None else self.cameras.get(camera_id, self.overall)

    def apply(self, descriptors: NDArray[np.float32], cameras: Sequence[str | None]) -> NDArray[np.float32]:
        """Descriptors `[n, d]` of these cameras, normalised and of unit length.

        A row comes out the same to the last bit whatever rows are beside it. One that is its camera's mean
        has no direction; it stays at 0, and is similar to nothing.
        """
        if self.overall is None:
            return descriptors
        found = np.empty(descriptors.shape, np.float32)
        named = np.array([camera if camera in self.cameras else "" for camera in cameras], dtype=object)
        for camera in dict.fromkeys(named.tolist()):
            rows = np.flatnonzero(named == camera)
            of = self.cameras.get(camera, self.overall)
            scaled = (descriptors[rows].astype(np.float64) - of.mean) / of.deviation
            lengths = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
            found[rows] = scaled / np.where(lengths > 0, lengths, 1.0)
        return found


RAW = Normalisation()
