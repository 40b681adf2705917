"""The gallery of enrolled images, durable and searchable.

`Gallery` is the protocol that the service uses. `LocalGallery` keeps a gallery in a folder: an SQLite
database, and a FAISS index that can always be built from it. Neither knows of models or HTTP: descriptors and
strips come in as arrays, matches go out.
"""

from index.errors import (
    DamagedImageError,
    DuplicateImageError,
    FingerprintMismatchError,
    GalleryClosedError,
    GalleryDamagedError,
    GalleryError,
    GalleryFullError,
    GalleryLockedError,
    GalleryLossError,
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
    "DamagedImageError",
    "DuplicateImageError",
    "Enrollment",
    "Filter",
    "FingerprintMismatchError",
    "Gallery",
    "GalleryClosedError",
    "GalleryDamagedError",
    "GalleryError",
    "GalleryFullError",
    "GalleryHeader",
    "GalleryLockedError",
    "GalleryLossError",
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
