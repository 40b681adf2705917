"""What the service answers, as types; a field that a newer service adds is kept as well."""

from lka_reid_client.answers.base import Answer
from lka_reid_client.answers.cameras import (
    CalibrationCount,
    CameraAnswer,
    CameraEffect,
    CameraEntry,
    CamerasAnswer,
    NormalisationInForce,
)
from lka_reid_client.answers.collections import CollectionAnswer, CollectionsAnswer
from lka_reid_client.answers.explanation import Activations, BothWays, ExplanationAnswer
from lka_reid_client.answers.frames import FoundVehicle, FoundVehicles
from lka_reid_client.answers.gallery import (
    DeletionAnswer,
    EnrollBatchAnswer,
    EnrolledFrame,
    EnrolledImage,
    EnrolledItem,
    EnrolledRecord,
    RecordPage,
    RetentionAnswer,
)
from lka_reid_client.answers.problem import FieldError, Problem
from lka_reid_client.answers.search import (
    FrameAnswer,
    Match,
    NormalisationUsed,
    QueriedItem,
    QueryAnswer,
    QueryBatchAnswer,
    Timings,
)
from lka_reid_client.answers.status import (
    AccessAnswer,
    BundleStatus,
    GalleryStatus,
    KeyInUse,
    LastError,
    Live,
    MeasuredAccuracy,
    QueueStatus,
    Ready,
    StageLatency,
    StatusAnswer,
)
from lka_reid_client.answers.verdicts import VerdictAnswer, VerdictsAnswer

__all__ = [
    "AccessAnswer",
    "Activations",
    "Answer",
    "BothWays",
    "BundleStatus",
    "CalibrationCount",
    "CameraAnswer",
    "CameraEffect",
    "CameraEntry",
    "CamerasAnswer",
    "CollectionAnswer",
    "CollectionsAnswer",
    "DeletionAnswer",
    "EnrollBatchAnswer",
    "EnrolledFrame",
    "EnrolledImage",
    "EnrolledItem",
    "EnrolledRecord",
    "ExplanationAnswer",
    "FieldError",
    "FoundVehicle",
    "FoundVehicles",
    "FrameAnswer",
    "GalleryStatus",
    "KeyInUse",
    "LastError",
    "Live",
    "Match",
    "MeasuredAccuracy",
    "NormalisationInForce",
    "NormalisationUsed",
    "Problem",
    "QueriedItem",
    "QueryAnswer",
    "QueryBatchAnswer",
    "QueueStatus",
    "Ready",
    "RecordPage",
    "RetentionAnswer",
    "StageLatency",
    "StatusAnswer",
    "Timings",
    "VerdictAnswer",
    "VerdictsAnswer",
]
