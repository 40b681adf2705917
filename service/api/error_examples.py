"""An example of each kind of error, for the OpenAPI document: made of exceptions, by the way of real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from index import (
    ChangedImageError,
    DamagedImageError,
    DuplicateCollectionError,
    GalleryFullError,
    QuotaReachedError,
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
from index.milvus import MilvusError
from models.decoding import DetectorError, ImageError
from models.decoding.tasks import FrameVehicles
from models.detection.vehicle import Box, Vehicle
from service.access.audit import AuditError
from service.access.keyfile import KeyFileError
from service.api.error_kinds import (
    CLIENT_GONE,
    COLLECTION_OUT_OF_REACH,
    FOREIGN_SITE,
    HEAD_TOO_LARGE,
    KEY_REQUIRED,
    KINDS,
    NO_WEBHOOK,
    NOT_EXPLAINABLE,
    NOT_READY,
    RATE_LIMITED,
    SCOPE_MISSING,
    TIMEOUT,
    TOO_LARGE,
)
from service.api.errors import ServiceError
from service.api.problems import document, translate
from service.inference.forward import EmbeddingError
from service.inference.request import Expired, Overloaded
from service.queue.errors import DeadLetterError, QueueUnavailableError
from service.retrieval.enrollment import AlreadyEnrolledError
from service.retrieval.frames import NoDetectorError, NoVehicleError, SeveralVehiclesError

IMAGE = "cam3/000123.jpg"
PROBE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
REQUEST_ID = "5c1b0e4f7a9d4e2c"
_TWO_CARS = (
    Vehicle(Box(309, 5, 148, 227), "car", 0.7674),
    Vehicle(Box(62, 118, 171, 140), "truck", 0.7012),
)
_TOO_MANY = {
    "type": "less_than_equal",
    "loc": ("body", "top_k"),
    "msg": "Input should be less than or equal to 100",
}

_RAISED: tuple[tuple[str, Exception], ...] = (
    ("/query", HTTPException(400, "There was an error parsing the body")),
    ("/query", ServiceError(KEY_REQUIRED, "the API key is not known, or was revoked")),
    ("/gallery", ServiceError(SCOPE_MISSING, "this needs a key with scope enroll; this one has query")),
    (
        "/query",
        ServiceError(
            COLLECTION_OUT_OF_REACH, "this key does not reach the collection; it reaches north, south"
        ),
    ),
    (
        "/gallery",
        ServiceError(
            FOREIGN_SITE,
            "a page of another site may not do this; LKA_REID_CORS_ORIGINS names those that may",
        ),
    ),
    (f"/gallery/{IMAGE}", UnknownImageError(IMAGE)),
    ("/query", UnknownCollectionError("north")),
    ("/cameras/cam3", UnknownCameraError("cam3")),
    (f"/verdicts/{PROBE}/{IMAGE}", UnknownVerdictError(PROBE, IMAGE)),
    (f"/gallery/{IMAGE}/image", UnknownFrameError(IMAGE)),
    ("/querry", HTTPException(404)),
    ("/query", HTTPException(405)),
    ("/query", ServiceError(TIMEOUT, "the body did not arrive within 30 s")),
    ("/gallery", AlreadyEnrolledError(IMAGE, ("image", "camera_id"))),
    ("/watches/3", UnknownWatchError(3)),
    ("/alerts/dead-letters/12", UnknownAlertError(12)),
    ("/collections", DuplicateCollectionError("north")),
    ("/watches", TooManyWatchesError(1000)),
    ("/watches/3/test", ServiceError(NO_WEBHOOK, NO_WEBHOOK.meaning)),
    ("/verdicts", TooManyVerdictsError(256)),
    (f"/gallery/{IMAGE}", ChangedImageError(IMAGE)),
    ("/query", ServiceError(TOO_LARGE, "a request's body may have 16,777,216 bytes at most")),
    (
        "/query",
        ImageError("the JPEG image is damaged or cut short (image file is truncated); send the whole file"),
    ),
    ("/query", DeadLetterError.of("1709528767123-0", 2)),
    ("/query", RequestValidationError([_TOO_MANY])),
    ("/query", NoVehicleError(FrameVehicles(768, 432, ()))),
    (
        "/query",
        SeveralVehiclesError(
            "the image shows 2 vehicles; name one by `box`, or send `detect=largest` or `detect=all`",
            FrameVehicles(768, 432, _TWO_CARS),
        ),
    ),
    (
        "/query",
        ServiceError(
            HEAD_TOO_LARGE, "a request's line and header fields may have 65,536 bytes, and be 100 fields"
        ),
    ),
    (
        "/query",
        ServiceError(RATE_LIMITED, "requests come faster than is allowed; the next one is let in within 1 s"),
    ),
    ("/query", ServiceError(CLIENT_GONE, CLIENT_GONE.meaning)),
    ("/query", RuntimeError()),
    ("/query", EmbeddingError()),
    ("/detect", DetectorError()),
    ("/detect", NoDetectorError()),
    (
        "/explain",
        ServiceError(
            NOT_EXPLAINABLE,
            "the bundle lka-reid has no re-ranker, whose attention an explanation shows; choose a bundle "
            "with a second stage",
        ),
    ),
    ("/query", Overloaded("all 64 places for waiting images are taken")),
    ("/query", ServiceError(NOT_READY, "loading the models")),
    ("/query", QueueUnavailableError("Redis is full and takes no more images")),
    ("/gallery", AuditError()),
    ("/query", KeyFileError()),
    ("/query", Expired("the deadline passed before the image was embedded")),
    ("/gallery", GalleryFullError(Path("/data"), 73_400_320, 104_857_600)),
    (
        "/query",
        MilvusError(
            "Milvus, which LKA_REID_MILVUS_URL names, did not do what was asked of it: no answer within 5 s; "
            "see that it runs, that its address is right, and its log"
        ),
    ),
    ("/gallery", QuotaReachedError("images", 100_000)),
    (f"/gallery/{IMAGE}", DamagedImageError(IMAGE, "image")),
)


def problem_examples() -> dict[str, Any]:
    """OpenAPI's example of each kind, by the kind's name."""
    examples = {}
    for path, raised in _RAISED:
        error = translate(raised)
        problem = document(error, path, REQUEST_ID)
        examples[error.kind.name] = {
            "summary": error.kind.title,
            "value": problem.model_dump(mode="json", exclude_none=True),
        }
    return {kind.name: examples[kind.name] for kind in KINDS}
