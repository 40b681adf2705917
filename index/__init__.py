"""The gallery of enrolled images, durable and searchable.

`Gallery` is the protocol that the service uses. `LocalGallery` keeps a gallery in a folder: an SQLite
database, and a FAISS index that can always be built from it. Neither knows of models or HTTP: descriptors and
strips come in as arrays, matches go out.
"""

from index.amendment import Amendment
from index.camera_report import CameraOverview, CameraState, Effect
from index.errors import (
    DamagedImageError,
    DuplicateImageError,
    FingerprintMismatchError,
    GalleryBackupError,
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
    InvalidRetentionError,
    NotErasedError,
    UnknownCameraError,
    UnknownImageError,
    UnknownVerdictError,
)
from index.estimation import Mode
from index.filter import ALL, Filter
from index.gallery import Gallery, GalleryCameras, GalleryRetention, GalleryVerdicts
from index.local import LocalGallery
from index.normalisation import RAW, CameraUse, Estimate, Normalisation
from index.record import Applied, Enrollment, Found, GalleryHeader, Match, Page, Record
from index.renewal import RenewalState
from index.retention import RetentionState
from index.verdicts import Decision, Verdict, VerdictPage, digest_of

__all__ = [
    "ALL",
    "RAW",
    "Amendment",
    "Applied",
    "CameraOverview",
    "CameraState",
    "CameraUse",
    "DamagedImageError",
    "Decision",
    "DuplicateImageError",
    "Effect",
    "Enrollment",
    "Estimate",
    "Filter",
    "FingerprintMismatchError",
    "Found",
    "Gallery",
    "GalleryBackupError",
    "GalleryCameras",
    "GalleryClosedError",
    "GalleryDamagedError",
    "GalleryError",
    "GalleryFullError",
    "GalleryHeader",
    "GalleryLockedError",
    "GalleryLossError",
    "GalleryMigrationError",
    "GalleryReplacementError",
    "GalleryRetention",
    "GallerySchemaError",
    "GalleryShapeError",
    "GalleryVerdicts",
    "InvalidEnrollmentError",
    "InvalidFilterError",
    "InvalidProbeError",
    "InvalidRetentionError",
    "LocalGallery",
    "Match",
    "Mode",
    "Normalisation",
    "NotErasedError",
    "Page",
    "Record",
    "RenewalState",
    "RetentionState",
    "UnknownCameraError",
    "UnknownImageError",
    "UnknownVerdictError",
    "Verdict",
    "VerdictPage",
    "digest_of",
]
