"""The gallery of enrolled images, durable and searchable.

`Gallery` is the protocol that the service uses. `LocalGallery` keeps a gallery in a folder: an SQLite
database, and a FAISS index that can always be built from it. Neither knows of models or HTTP: descriptors and
strips come in as arrays, matches go out.
"""

from index.amendment import Amendment
from index.camera_report import CameraOverview, CameraState, Effect
from index.collections import DEFAULT, Collections, LocalCollections
from index.errors import (
    DamagedImageError,
    DuplicateCollectionError,
    DuplicateImageError,
    FingerprintMismatchError,
    FixedCollectionError,
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
    IndexDeviceError,
    InvalidCollectionError,
    InvalidEnrollmentError,
    InvalidFilterError,
    InvalidProbeError,
    InvalidQuotaError,
    InvalidRetentionError,
    NotErasedError,
    QuotaReachedError,
    TooManyCollectionsError,
    TooManyVerdictsError,
    TooManyWatchesError,
    UnknownAlertError,
    UnknownCameraError,
    UnknownCollectionError,
    UnknownFrameError,
    UnknownImageError,
    UnknownVerdictError,
    UnknownWatchError,
)
from index.estimation import Mode
from index.filter import ALL, Filter
from index.frames import Frame
from index.gallery import (
    Gallery,
    GalleryCameras,
    GalleryRetention,
    GalleryVerdicts,
)
from index.gallery_watches import GalleryAlerts, GalleryWatches
from index.kind import IndexSetup, Kind
from index.local import LocalGallery
from index.normalisation import RAW, CameraUse, Estimate, Normalisation
from index.quota import Quota, Usage
from index.record import Applied, Enrollment, Found, GalleryHeader, Match, Page, Record
from index.reindexing import IndexState
from index.renewal import RenewalState
from index.retention import RetentionState
from index.verdicts import Decision, Verdict, VerdictPage, digest_of
from index.watches import (
    Alert,
    AlertPage,
    DeliveryState,
    NewWatch,
    Raised,
    Sightings,
    Watch,
    Watched,
    WatchState,
)

__all__ = [
    "ALL",
    "DEFAULT",
    "RAW",
    "Alert",
    "AlertPage",
    "Amendment",
    "Applied",
    "CameraOverview",
    "CameraState",
    "CameraUse",
    "Collections",
    "DamagedImageError",
    "Decision",
    "DeliveryState",
    "DuplicateCollectionError",
    "DuplicateImageError",
    "Effect",
    "Enrollment",
    "Estimate",
    "Filter",
    "FingerprintMismatchError",
    "FixedCollectionError",
    "Found",
    "Frame",
    "Gallery",
    "GalleryAlerts",
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
    "GalleryWatches",
    "IndexDeviceError",
    "IndexSetup",
    "IndexState",
    "InvalidCollectionError",
    "InvalidEnrollmentError",
    "InvalidFilterError",
    "InvalidProbeError",
    "InvalidQuotaError",
    "InvalidRetentionError",
    "Kind",
    "LocalCollections",
    "LocalGallery",
    "Match",
    "Mode",
    "NewWatch",
    "Normalisation",
    "NotErasedError",
    "Page",
    "Quota",
    "QuotaReachedError",
    "Raised",
    "Record",
    "RenewalState",
    "RetentionState",
    "Sightings",
    "TooManyCollectionsError",
    "TooManyVerdictsError",
    "TooManyWatchesError",
    "UnknownAlertError",
    "UnknownCameraError",
    "UnknownCollectionError",
    "UnknownFrameError",
    "UnknownImageError",
    "UnknownVerdictError",
    "UnknownWatchError",
    "Usage",
    "Verdict",
    "VerdictPage",
    "Watch",
    "WatchState",
    "Watched",
    "digest_of",
]
