"""Enrolling what an archive holds, with the descriptors that it has; done again, it goes on where it was
ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from index.errors import (
    DuplicateImageError,
    FingerprintMismatchError,
    GalleryShapeError,
    InvalidEnrollmentError,
    QuotaReachedError,
    UnknownImageError,
)
from index.local.gallery import LocalGallery
from index.record import Enrollment
from index.upkeep.archive_reader import ArchiveReader

AT_ONCE: Final = 64
"""Images that one transaction enrolls,"""
AT_ONCE_BYTES: Final = 64 << 20
"""or as many as have so many bytes."""
FIELDS: Final = (
    *("vehicle_id", "camera_id", "captured_at", "view", "vehicle_type", "tags", "enrolled_at", "media_type"),
)
REFUSED: Final = (DuplicateImageError, InvalidEnrollmentError, QuotaReachedError)
"""What keeps one image out, and not those after it."""


class Became(StrEnum):
    """What became of an image of an archive."""

    enrolled = "enrolled"
    already = "already"
    other_image = "other_image"
    other_fields = "other_fields"
    failed = "failed"


Outcome = tuple[str, Became, str]
"""An image id, what became of it, and why; "" where there is nothing to say."""


def import_archive(
    reader: ArchiveReader, folder: Path, fault_of: Callable[[Enrollment], str | None] = lambda _: None
) -> Iterator[Outcome]:
    """Enroll every image of an archive in the gallery in `folder`, which is made where there is none.

    Images keep the times of their enrollment. One that is enrolled already as the archive has it is left as
    it is; one that cannot be enrolled does not keep the others. What was reported as enrolled is durable.

    Args:
        reader: of the archive.
        folder: of the gallery.
        fault_of: why an image is not to be enrolled, in words; None where it may be.

    Raises:
        FingerprintMismatchError, GalleryShapeError: the gallery is of another model.
        GalleryError: it cannot be opened, there is no room, or the archive is damaged.
        OSError: a file cannot be read or written.
    """
    header = reader.header
    try:
        found = LocalGallery.describe(folder)
    except FileNotFoundError:
        found = header
    if found.fingerprint != header.fingerprint:
        raise FingerprintMismatchError(folder, found.fingerprint, header.fingerprint)
    if found.shapes() != header.shapes():
        raise GalleryShapeError(folder, found.shapes(), header.shapes())
    with LocalGallery.open(
        folder,
        fingerprint=header.fingerprint,
        descriptor_dim=header.descriptor_dim,
        strips_shape=header.strips_shape,
    ) as gallery:
        waiting: list[Enrollment] = []
        size = 0
        for entry in reader.entries():
            if entry.enrollment is None:
                yield entry.image_id, Became.failed, entry.fault
                continue
            fault = fault_of(entry.enrollment)
            if fault is not None:
                yield entry.image_id, Became.failed, fault
                continue
            waiting.append(entry.enrollment)
            size += len(entry.enrollment.image)
            if len(waiting) >= AT_ONCE or size >= AT_ONCE_BYTES:
                yield from _enroll(gallery, waiting)
                waiting, size = [], 0
        yield from _enroll(gallery, waiting)


def _enroll(gallery: LocalGallery, enrollments: list[Enrollment]) -> list[Outcome]:
    known = [_known(gallery, enrollment) for enrollment in enrollments]
    fresh = [one for one, its in zip(enrollments, known, strict=True) if its is None]
    try:
        gallery.enroll_many(fresh)
        became = iter([(Became.enrolled, "")] * len(fresh))
    except REFUSED:
        # One by one, so that one does not keep the others.
        became = iter([_enroll_one(gallery, one) for one in fresh])
    return [(one.image_id, *(its or next(became))) for one, its in zip(enrollments, known, strict=True)]


def _enroll_one(gallery: LocalGallery, enrollment: Enrollment) -> tuple[Became, str]:
    try:
        gallery.enroll(enrollment)
    except REFUSED as error:
        return Became.failed, str(error)
    return Became.enrolled, ""


def _known(gallery: LocalGallery, enrollment: Enrollment) -> tuple[Became, str] | None:
    """How an image is enrolled already; None where its id is not."""
    try:
        record = gallery.get(enrollment.image_id)
        image, _ = gallery.image(enrollment.image_id)
    except UnknownImageError:
        return None
    if image != enrollment.image:
        return Became.other_image, f"another image is enrolled as {enrollment.image_id!r}"
    others = [field for field in FIELDS if getattr(record, field) != getattr(enrollment, field)]
    if others:
        return Became.other_fields, f"enrolled with another {', '.join(others)}"
    return Became.already, ""
