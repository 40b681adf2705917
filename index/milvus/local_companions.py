"""Companions of a gallery on Milvus that is open in one process alone.

They live as long as the process: verdicts, calibrations and settings are gone after it, and what a quota
counts is counted anew at the opening. For tests, trials and reading; a service with replicas takes a shared
store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.cameras.sums import NO_CAMERA, CameraSums, Sums
from index.errors import (
    DuplicateImageError,
    QuotaReachedError,
)
from index.milvus.companions import Companions
from index.milvus.memory_verdicts import MemoryVerdicts
from index.quota import Quota, Usage, check_quota

EPOCH_S = 1_577_836_800
"""2020, from which numbers count microseconds: below 2^53 until the year 2305."""


def local_companions(record_of: Callable[[str], int | None], descriptor_dim: int) -> Companions:
    """Companions for the galleries of this process that are given these very objects."""
    room = LocalRoom()
    return Companions(
        LocalClaims(),
        ClockNumbers(),
        room,
        MemoryVerdicts(record_of, room),
        MemorySums(descriptor_dim),
        MemorySettings(),
    )


class LocalClaims:
    """See `index.milvus.companions.Claims`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()

    @contextmanager
    def claimed(self, image_ids: Sequence[str]) -> Iterator[_Held]:
        """Hold all of these ids meanwhile. Raises DuplicateImageError."""
        with self._lock:
            for image_id in image_ids:
                if image_id in self._held:
                    raise DuplicateImageError(image_id)
            self._held.update(image_ids)
        try:
            yield _Held()
        finally:
            with self._lock:
                self._held.difference_update(image_ids)


class _Held:
    def extend(self) -> bool:
        """Nobody takes them away."""
        return True


class ClockNumbers:
    """Numbers from the clock; where it goes back, they go on from the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def draw(self, count: int) -> int:
        """The first of so many numbers in a row."""
        with self._lock:
            first = max(self._last + 1, int((time.time() - EPOCH_S) * 1e6))
            self._last = first + count - 1
            return first

    def reach(self, number: int) -> None:
        """See that what is drawn from now on is higher than this one."""
        with self._lock:
            self._last = max(self._last, number)


@dataclass(frozen=True, slots=True, eq=False)
class _Reserved:
    images: int
    bytes: int


class LocalRoom:
    """See `index.milvus.companions.Room`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._quota = Quota()
        self._used = Usage(0, 0)
        self._beside = 0
        self._changes = 0
        self._reserved: set[_Reserved] = set()

    def quota(self) -> Quota:
        """What is set."""
        return self._quota

    def usage(self) -> Usage:
        """What is held now."""
        return self._used

    def set(self, quota: Quota) -> None:
        """Set it. Raises InvalidQuotaError."""
        check_quota(quota)
        self._quota = quota

    def reserve(self, images: int, size: int) -> _Reserved:
        """Hold room. Raises QuotaReachedError."""
        with self._lock:
            held = [
                self._used.images + images + sum(one.images for one in self._reserved),
                self._used.bytes + size + sum(one.bytes for one in self._reserved),
            ]
            if images and self._quota.images is not None and held[0] > self._quota.images:
                raise QuotaReachedError("images", self._quota.images)
            if size and self._quota.bytes is not None and held[1] > self._quota.bytes:
                raise QuotaReachedError("bytes", self._quota.bytes)
            reservation = _Reserved(images, size)
            self._reserved.add(reservation)
            return reservation

    def count(self, reservation: _Reserved) -> None:
        """What was reserved is written."""
        with self._lock:
            self._reserved.discard(reservation)
            self._changes += 1
            self._used = Usage(self._used.images + reservation.images, self._used.bytes + reservation.bytes)
            self._beside += 0 if reservation.images else reservation.bytes

    def cancel(self, reservation: _Reserved) -> None:
        """What was reserved is not written."""
        with self._lock:
            self._reserved.discard(reservation)

    def release(self, images: int, size: int) -> None:
        """So many images and bytes are gone."""
        with self._lock:
            self._changes += 1
            self._used = Usage(max(self._used.images - images, 0), max(self._used.bytes - size, 0))
            self._beside = max(self._beside - (0 if images else size), 0)

    def recount(self, usage: Usage) -> None:
        """This is what the images take, as they were counted."""
        with self._lock:
            self._changes += 1
            self._used = Usage(usage.images, usage.bytes + self._beside)

    def changes(self) -> int:
        """A number that grows with every change of the usage."""
        with self._lock:
            return self._changes

    def settle(self, changes: int, images: Usage) -> bool:
        """This is what the images take, unless the usage has changed since, or something is reserved."""
        with self._lock:
            if self._changes != changes or self._reserved:
                return False
            self._changes += 1
            self._used = Usage(images.images, images.bytes + self._beside)
            return True


class MemorySettings:
    """See `index.milvus.companions.KeptSettings`."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}

    def get(self, name: str) -> int | None:
        """What is set."""
        return self._values.get(name)

    def set(self, name: str, value: int | None) -> None:
        """Set it."""
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value


class MemorySums:
    """See `index.milvus.companions.KeptSums`."""

    def __init__(self, descriptor_dim: int) -> None:
        self._lock = threading.Lock()
        self._nothing = Sums.nothing(descriptor_dim)
        self._enrolled: dict[str, Sums] = {}
        self._calibrated: dict[str, Sums] = {}
        self._counted: dict[str, set[bytes]] = {}

    def enrolled(self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]) -> None:
        """Count images just enrolled."""
        with self._lock:
            for camera, descriptor in zip(cameras, descriptors, strict=True):
                held = self._enrolled.get(camera or NO_CAMERA, self._nothing)
                self._enrolled[camera or NO_CAMERA] = held + Sums.of(descriptor[np.newaxis])

    def deleted(self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]) -> None:
        """Count images no more that were just deleted."""
        with self._lock:
            for camera, descriptor in zip(cameras, descriptors, strict=True):
                held = self._enrolled.get(camera or NO_CAMERA, self._nothing)
                left = held - Sums.of(descriptor[np.newaxis])
                if left.count > 0:
                    self._enrolled[camera or NO_CAMERA] = left
                else:
                    self._enrolled.pop(camera or NO_CAMERA, None)

    def calibrate(
        self, camera_id: str, descriptor: NDArray[np.float32], digest: bytes, *, anew: bool = False
    ) -> bool:
        """Count an image for a camera's calibration, with `anew` in the place of those that were counted."""
        with self._lock:
            if anew:
                self._counted.pop(camera_id, None)
                self._calibrated.pop(camera_id, None)
            counted = self._counted.setdefault(camera_id, set())
            if digest in counted:
                return False
            counted.add(digest)
            held = self._calibrated.get(camera_id, self._nothing)
            self._calibrated[camera_id] = held + Sums.of(descriptor[np.newaxis])
            return True

    def forget_calibration(self, camera_id: str) -> bool:
        """Remove a camera's calibration."""
        with self._lock:
            self._counted.pop(camera_id, None)
            return self._calibrated.pop(camera_id, None) is not None

    def read(self) -> Mapping[str, CameraSums]:
        """The sums of every camera that has images, by its id."""
        with self._lock:
            return {
                camera_id: CameraSums(
                    camera_id,
                    self._enrolled.get(camera_id, self._nothing),
                    self._calibrated.get(camera_id, self._nothing),
                )
                for camera_id in sorted(self._enrolled.keys() | self._calibrated.keys())
            }

    def replace(self, sums: Mapping[str, Sums]) -> None:
        """Set the sums of the enrolled images of all cameras."""
        with self._lock:
            self._enrolled = dict(sums)
