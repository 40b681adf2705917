"""Watches, and a gallery in memory that treats those of a shared store as one on Milvus does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index import Enrollment, NewWatch, Raised, Record, UnknownImageError, digest_of
from index.gallery_watches import GalleryWatches
from index.record import GalleryHeader
from index.shared import SharedNumbers, SharedQuotas, SharedStore, SharedWatches
from tests.index.samples import DIM, STRIPS, enrollment

FILE = b"\x89PNG the file of a watched vehicle, as it was sent"
SECRET = "whsec-a-secret-of-a-webhook"  # noqa: S105 - of a test
HEADER = GalleryHeader("model-a", DIM, STRIPS)


def of_file(**changes: object) -> NewWatch:
    """A watch of `FILE`, with any field changed."""
    values = {
        "name": "stolen-van-of-last-night",
        "data": FILE,
        "media_type": "image/png",
        "descriptor": enrollment("watched").descriptor,
        "camera_id": "gate",
        "threshold": 0.625,
        "cameras": frozenset({"camera-7", "gate"}),
        "webhook": "https://hooks.example/in",
        "secret": SECRET,
        "created_by": "3f9a1c2e",
    }
    return NewWatch(**(values | changes))  # type: ignore[arg-type]


def raise_all(watches: GalleryWatches, *watch_ids: int) -> list[int]:
    """Alerts of these watches for all that they have not looked at."""
    found = watches.unchecked(100)
    if found is None:
        return []
    alerts = [Raised(watch_id, int(number), 0.9, 0.5) for watch_id in watch_ids for number in found.ids]
    return watches.raised(alerts, found)


def seen(watches: GalleryWatches) -> list[str]:
    """Ids of the images that have raised an alert, the newest first."""
    return [alert.record.image_id for alert in watches.alerts.page().alerts]


class Rows:
    """What all replicas see of the images: numbers, records and files; as `index.milvus.enrolled`."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Enrollment, Record]] = {}

    def put(self, number: int, one: Enrollment) -> None:
        """Write a row, which acknowledges."""
        self.kept[number] = (one, record_of(one))

    def number(self, image_id: str) -> int | None:
        """The number of an image's enrollment."""
        kept = list(self.kept.items())  # others change it meanwhile
        return next((number for number, (one, _) in kept if one.image_id == image_id), None)

    def records(self, numbers: Sequence[int]) -> dict[int, Record]:
        """Records by their numbers."""
        return {number: kept[1] for number in numbers if (kept := self.kept.get(number)) is not None}

    def descriptors(self, numbers: Sequence[int]) -> dict[int, tuple[str | None, NDArray[np.float32]]]:
        """Camera and descriptor by their numbers."""
        there = {number: self.kept.get(number) for number in numbers}
        return {
            number: (kept[1].camera_id, kept[0].descriptor)
            for number, kept in there.items()
            if kept is not None
        }

    def image(self, image_id: str) -> tuple[bytes, str]:
        """An image's file and its media type."""
        number = self.number(image_id)
        if number is None:
            raise UnknownImageError(image_id)
        return self.kept[number][0].image, self.kept[number][0].media_type


class Replica:
    """One of several processes that have a gallery open; it changes it as `index.milvus.writing` does.

    Args:
        store: the shared one.
        rows: of the gallery.
        header: of the gallery.
    """

    def __init__(self, store: SharedStore, rows: Rows, header: GalleryHeader = HEADER) -> None:
        self._rows = rows
        self._numbers = SharedNumbers(store, "c1")
        self.quotas = SharedQuotas(store, "c1")
        self.watches = SharedWatches(store, "c1", header, rows, self.quotas)

    def enroll(self, one: Enrollment) -> None:
        """Add an image."""
        self.enroll_many([one])

    def enroll_many(self, enrollments: Sequence[Enrollment]) -> None:
        """Add images."""
        numbers = self.begin(len(enrollments))
        self.insert(numbers, enrollments)
        self.watches.enrolled(numbers)

    def begin(self, count: int) -> list[int]:
        """Draw numbers, and owe them."""
        first = self._numbers.draw(count)
        numbers = list(range(first, first + count))
        self.watches.owe(numbers)
        return numbers

    def insert(self, numbers: Sequence[int], enrollments: Sequence[Enrollment]) -> None:
        """Write rows, which acknowledges."""
        for number, one in zip(numbers, enrollments, strict=True):
            self._rows.put(number, one)

    def delete(self, image_id: str) -> None:
        """Remove an image."""
        number = self._rows.number(image_id)
        if number is None:
            raise UnknownImageError(image_id)
        self.watches.forget_copies([digest_of(self._rows.kept[number][0].image)])
        del self._rows.kept[number]
        self.watches.forget([number])

    def update(self, image_id: str, amendment: dict[str, Any]) -> None:
        """Change what is known of an image."""
        number = self._rows.number(image_id)
        if number is None:
            raise UnknownImageError(image_id)
        one, record = self._rows.kept[number]
        self._rows.kept[number] = (one, replace(record, **amendment))

    def get(self, image_id: str) -> Record:
        """The record of an image."""
        number = self._rows.number(image_id)
        if number is None:
            raise UnknownImageError(image_id)
        return self._rows.kept[number][1]


def record_of(one: Enrollment) -> Record:
    """The record of an image that is enrolled now."""
    return Record(
        one.image_id,
        one.vehicle_id,
        one.camera_id,
        one.captured_at,
        one.view,
        one.tags,
        "model-a",
        datetime.now(UTC),
        one.media_type,
    )
