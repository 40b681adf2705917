"""What is remembered: the gallery of enrolled images, durable and searchable.

`Gallery` is what the service uses; `LocalGallery` keeps it in a folder: SQLite holds the truth, the FAISS
index is derived from it and rebuilt whenever in doubt. Neither knows of models or HTTP: descriptors and
strips come in as arrays, matches go out.
"""

from index.errors import (
    DuplicateImageError,
    FingerprintMismatchError,
    GalleryClosedError,
    GalleryDamagedError,
    GalleryError,
    GalleryLockedError,
    GalleryMigrationError,
    GalleryReplacementError,
    GallerySchemaError,
    GalleryShapeError,
    InvalidEnrollmentError,
    InvalidFilterError,
    InvalidProbeError,
    UnknownImageError,
)
from index.filter import ALL, Filter
from index.gallery import Gallery
from index.local import LocalGallery
from index.record import Enrollment, GalleryHeader, Match, Page, Record

__all__ = [
    "ALL",
    "DuplicateImageError",
    "Enrollment",
    "Filter",
    "FingerprintMismatchError",
    "Gallery",
    "GalleryClosedError",
    "GalleryDamagedError",
    "GalleryError",
    "GalleryHeader",
    "GalleryLockedError",
    "GalleryMigrationError",
    "GalleryReplacementError",
    "GallerySchemaError",
    "GalleryShapeError",
    "InvalidEnrollmentError",
    "InvalidFilterError",
    "InvalidProbeError",
    "LocalGallery",
    "Match",
    "Page",
    "Record",
    "UnknownImageError",
]
