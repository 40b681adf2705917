"""What is remembered: the gallery of enrolled images, durable and searchable.

SQLite holds the truth; the FAISS index is derived from it and rebuilt whenever in doubt.
It knows nothing of models or HTTP: descriptors and strips come in as arrays, matches go out.
"""

from index.errors import (
    DuplicateImageError,
    FingerprintMismatchError,
    GalleryClosedError,
    GalleryDamagedError,
    GalleryError,
    GalleryLockedError,
    GallerySchemaError,
    GalleryShapeError,
    InvalidEnrollmentError,
    InvalidProbeError,
    UnknownImageError,
)
from index.gallery import Gallery
from index.record import Enrollment, GalleryHeader, Match, Page, Record

__all__ = [
    "DuplicateImageError",
    "Enrollment",
    "FingerprintMismatchError",
    "Gallery",
    "GalleryClosedError",
    "GalleryDamagedError",
    "GalleryError",
    "GalleryHeader",
    "GalleryLockedError",
    "GallerySchemaError",
    "GalleryShapeError",
    "InvalidEnrollmentError",
    "InvalidProbeError",
    "Match",
    "Page",
    "Record",
    "UnknownImageError",
]
