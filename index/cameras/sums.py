"""Count, sum and sum of squares of descriptors: what a camera's mean and deviation are computed from.

Numbers are kept as whole multiples of 2^-36. Such sums are exact: in whatever order images come and go, what
was added and subtracted again leaves nothing behind, to the last bit, and a recomputation from the stored
descriptors gives the same bits. (Sums of floating-point numbers would keep a rounding error of every image
that ever was.) The price is one rounding of each number, by at most 2^-37, so that a mean, of numbers or of
their squares, is off by at most `MEAN_ERROR`, however many images there are. 2^27 images find room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

SCALE = 2.0**36
MEAN_ERROR = 2.0**-37
NO_CAMERA: Final = ""
"""In place of a camera's id, for images without one."""

Source = Literal["enrolled", "calibrated"]
ENROLLED: Final = "enrolled"
CALIBRATED: Final = "calibrated"


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums over `count` descriptors.

    Attributes:
        count: how many.
        first: of the numbers, `[d]`, in units of 1 / SCALE.
        second: of their squares, `[d]`, in units of 1 / SCALE.
    """

    count: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @classmethod
    def nothing(cls, dim: int) -> Self:
        """Of no descriptors, each of `dim` numbers."""
        return cls(0, np.zeros(dim, np.int64), np.zeros(dim, np.int64))

    @classmethod
    def of(cls, descriptors: NDArray[np.float32]) -> Self:
        """Of descriptors `[n, d]` of unit length."""
        wide = descriptors.astype(np.float64)
        return cls(len(wide), _whole(wide).sum(axis=0), _whole(wide * wide).sum(axis=0))

    @classmethod
    def from_bytes(cls, count: int, data: bytes) -> Self:
        """What `to_bytes` gave, with the count beside it."""
        first, second = np.frombuffer(data, dtype="<i8").astype(np.int64).reshape(2, -1)
        return cls(count, first, second)

    def to_bytes(self) -> bytes:
        """Both sums, one after the other."""
        return np.stack([self.first, self.second]).astype("<i8").tobytes()

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.count + other.count, self.first + other.first, self.second + other.second)

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.count - other.count, self.first - other.first, self.second - other.second)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sums)
            and self.count == other.count
            and np.array_equal(self.first, other.first)
            and np.array_equal(self.second, other.second)
        )

    __hash__ = None  # type: ignore[assignment]

    def mean(self) -> NDArray[np.float64]:
        """Of each number, `[d]`. Raises ZeroDivisionError without descriptors."""
        return self.first / SCALE / self._counted()

    def variance(self) -> NDArray[np.float64]:
        """Of each number about its mean, `[d]`, 0 at least. Raises ZeroDivisionError without descriptors."""
        square = self.second / SCALE / self._counted()
        return np.maximum(square - self.mean() ** 2, 0.0)

    def _counted(self) -> int:
        if not self.count:
            raise ZeroDivisionError("no descriptors have a mean")
        return self.count


def _whole(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(numbers * SCALE).astype(np.int64)


@dataclass(frozen=True, slots=True)
class CameraSums:
    """What is known of one camera.

    Attributes:
        camera_id: "" for all images without one.
        enrolled: of its images in the gallery.
        calibrated: of those it was calibrated with.
    """

    camera_id: str
    enrolled: Sums
    calibrated: Sums

    @property
    def pooled(self) -> Sums:
        """Of both."""
        return self.enrolled + self.calibrated
