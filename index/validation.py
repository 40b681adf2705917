"""The one place that says what may enter a gallery, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from index.amendment import AMENDABLE, Amendment
from index.errors import (
    DuplicateImageError,
    InvalidEnrollmentError,
    InvalidFilterError,
    InvalidProbeError,
)
from index.filter import SETS, TIMES, Filter
from index.record import Enrollment, GalleryHeader

UNIT_LENGTH_TOLERANCE = 1e-3
TEXTS = ("vehicle_id", "camera_id", "view", "vehicle_type")


def check_enrollment(enrollment: Enrollment, header: GalleryHeader) -> None:
    """Raises InvalidEnrollmentError naming the first field that does not fit the gallery."""
    for field in ("image_id", "media_type"):
        value = getattr(enrollment, field)
        if not (storable(value) and value):
            raise InvalidEnrollmentError(field, _shown(value), "text that is not empty, without NUL")
    for field in (*TEXTS, "tags", "captured_at", "enrolled_at"):
        _check_known_of(field, getattr(enrollment, field))
    if not isinstance(enrollment.image, bytes) or not enrollment.image:
        raise InvalidEnrollmentError("image", _described(enrollment.image), "the image file's bytes")
    _check_descriptor(enrollment.descriptor, header)
    _check_strips(enrollment.strips, header)


def check_enrollments(enrollments: Sequence[Enrollment], header: GalleryHeader) -> None:
    """Raises as `check_enrollment`, and DuplicateImageError for an id that one before it has, too."""
    seen: set[str] = set()
    for enrollment in enrollments:
        check_enrollment(enrollment, header)
        if enrollment.image_id in seen:
            raise DuplicateImageError(enrollment.image_id)
        seen.add(enrollment.image_id)


def check_amendment(amendment: Amendment) -> None:
    """Raises InvalidEnrollmentError naming the first field that cannot be changed, or not to that."""
    for field, value in amendment.items():
        if field not in AMENDABLE:
            raise InvalidEnrollmentError(field, _shown(value), f"one of {', '.join(sorted(AMENDABLE))}")
        _check_known_of(field, value)


def check_calibration(camera_id: str, descriptor: NDArray[np.float32], header: GalleryHeader) -> None:
    """Raises InvalidEnrollmentError for a camera without a name, or a descriptor of another model."""
    if not (storable(camera_id) and camera_id):
        raise InvalidEnrollmentError("camera_id", _shown(camera_id), "text that is not empty, without NUL")
    _check_descriptor(descriptor, header)


def check_probes(descriptors: NDArray[np.float32], header: GalleryHeader) -> None:
    """Raises InvalidProbeError unless `descriptors` is float32 [B, d], finite, each of unit length."""
    expected = f"float32 [B, {header.descriptor_dim}]"
    if (
        not isinstance(descriptors, np.ndarray)
        or descriptors.dtype != np.float32
        or descriptors.ndim != 2
        or descriptors.shape[1] != header.descriptor_dim
    ):
        raise InvalidProbeError(_described(descriptors), expected)
    fault = _length_fault(descriptors)
    if fault is not None:
        raise InvalidProbeError(fault, f"{expected}, finite and of unit length")


def check_search(
    descriptors: NDArray[np.float32],
    header: GalleryHeader,
    where: Filter,
    strips: int,
    cameras: Sequence[str | None] | None,
) -> None:
    """Raises InvalidProbeError, InvalidFilterError, or ValueError for what else a search cannot be of.

    How many matches there may be is the gallery's to say.
    """
    if strips < 0:
        raise ValueError(f"strips is {strips}, expected 0 or more")
    check_probes(descriptors, header)
    check_filter(where)
    if cameras is not None and len(cameras) != len(descriptors):
        raise ValueError(f"{len(cameras)} cameras are named for {len(descriptors)} probes")


def check_limit(limit: int) -> None:
    """Raises ValueError for a page of less than one entry."""
    if limit < 1:
        raise ValueError(f"limit is {limit}, expected 1 or more")


def check_filter(where: object) -> None:
    """Raises InvalidFilterError for a filter with conditions that this gallery would not apply."""
    # Of the very class: a condition that a subclass added would be ignored, and too much be found.
    if type(where) is not Filter:
        raise InvalidFilterError(_described(where), "a Filter")
    for field in SETS:
        wanted = getattr(where, field)
        if wanted is not None and not (isinstance(wanted, frozenset) and all(map(storable, wanted))):
            raise InvalidFilterError(
                f"one with {field} {_shown(wanted)}", "a frozenset of text without NUL, or None"
            )
    for field in TIMES:
        moment = getattr(where, field)
        if moment is not None and not _is_utc_time(moment):
            raise InvalidFilterError(
                f"one with {field} {_shown(moment)}", "a datetime with a time zone, or None"
            )


def storable(text: object) -> bool:
    """Whether SQLite gives this text back as it was: it ends at a NUL, and has no lone surrogates."""
    if not isinstance(text, str) or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_known_of(field: str, value: object) -> None:
    """Raises InvalidEnrollmentError for a value that what is known of an image cannot have."""
    if field in TEXTS and value is not None and not storable(value):
        raise InvalidEnrollmentError(field, _shown(value), "text without NUL, or None")
    if field == "tags" and not (isinstance(value, tuple) and all(storable(tag) for tag in value)):
        raise InvalidEnrollmentError(field, _shown(value), "a tuple of text without NUL")
    if field in ("captured_at", "enrolled_at") and value is not None and not _is_utc_time(value):
        raise InvalidEnrollmentError(field, _shown(value), "a datetime with a time zone, or None")


def _check_descriptor(descriptor: object, header: GalleryHeader) -> None:
    expected = f"float32 [{header.descriptor_dim}]"
    if (
        not isinstance(descriptor, np.ndarray)
        or descriptor.dtype != np.float32
        or descriptor.shape != (header.descriptor_dim,)
    ):
        raise InvalidEnrollmentError("descriptor", _described(descriptor), expected)
    fault = _length_fault(descriptor[np.newaxis])
    if fault is not None:
        raise InvalidEnrollmentError("descriptor", fault, f"{expected}, finite and of unit length")


def _check_strips(strips: object, header: GalleryHeader) -> None:
    if strips is None:
        return
    if header.strips_shape is None:
        raise InvalidEnrollmentError("strips", _described(strips), "None: this gallery stores no strips")
    expected = f"float16 {list(header.strips_shape)} or None"
    if (
        not isinstance(strips, np.ndarray)
        or strips.dtype != np.float16
        or strips.shape != header.strips_shape
    ):
        raise InvalidEnrollmentError("strips", _described(strips), expected)
    if not np.isfinite(strips).all():
        raise InvalidEnrollmentError("strips", "not finite", f"{expected}, without NaN and infinity")


def _length_fault(descriptors: NDArray[np.float32]) -> str | None:
    lengths = np.linalg.norm(descriptors.astype(np.float64), axis=1)
    wrong = lengths[~(np.abs(lengths - 1.0) <= UNIT_LENGTH_TOLERANCE)]
    if wrong.size == 0:
        return None
    return f"of length {wrong[0]:.6g}" if np.isfinite(wrong[0]) else "not finite"


def _is_utc_time(value: object) -> bool:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return False
    try:
        value.astimezone(UTC)
    except OverflowError:  # the year 1 or 9999, near enough to its end to leave the calendar
        return False
    return True


def _described(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return "empty" if value == b"" else f"a {type(value).__name__}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
