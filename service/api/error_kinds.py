"""The one table of what can go wrong, from exceptions to status codes (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass

from index import (
    ChangedImageError,
    DamagedImageError,
    DuplicateCollectionError,
    DuplicateImageError,
    FixedCollectionError,
    GalleryClosedError,
    GalleryDamagedError,
    GalleryFullError,
    InvalidCollectionError,
    InvalidEnrollmentError,
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
from index.milvus import MilvusError
from index.objects import ObjectStoreError
from index.shared import SharedStoreError
from models.decoding import BoxError, DecodePoolError, DetectorError, ImageError
from service.access.audit import AuditError
from service.access.keyfile import KeyFileError
from service.inference.forward import EmbeddingError
from service.inference.request import Expired, Overloaded, WorkerStoppedError
from service.queue.errors import DeadLetterError, ForeignBundleError, QueueUnavailableError
from service.retrieval.frames import NoDetectorError, NoVehicleError, SeveralVehiclesError


@dataclass(frozen=True)
class ErrorKind:
    """A kind of error as callers meet it.

    Attributes:
        name: ends the problem's `type`, and is the `reason` in the metrics.
        status: HTTP status code.
        title: the same words for every error of this kind.
        meaning: for the documentation: when it happens and what to do.
        retry_after_s: s after which the same request may succeed; None where it will not.
        causes: exceptions that become this kind.
    """

    name: str
    status: int
    title: str
    meaning: str
    retry_after_s: int | None = None
    causes: tuple[type[Exception], ...] = ()

    @property
    def type(self) -> str:
        """The problem type's URI."""
        return f"urn:lka-reid:problem:{self.name}"


MALFORMED = ErrorKind(
    "malformed-request",
    400,
    "The request cannot be read",
    "The body is no multipart form, or not the one that its content type says, or what came is no valid "
    "HTTP/1.1.",
)
KEY_REQUIRED = ErrorKind(
    "key-required",
    401,
    "An API key is needed",
    "Send one as `Authorization: Bearer KEY` or `X-API-Key: KEY`; the detail says whether one was seen.",
)
SCOPE_MISSING = ErrorKind(
    "scope-missing", 403, "The API key does not permit this", "The detail names the scope that is needed."
)
COLLECTION_OUT_OF_REACH = ErrorKind(
    "collection-out-of-reach",
    403,
    "The API key does not reach this collection",
    "The key is limited to some collections; the detail names them. `collection` in the URL names "
    "the one that a request is about, which is `default` when not given.",
)
FOREIGN_SITE = ErrorKind(
    "foreign-site",
    403,
    "Not for pages of other sites",
    "Without API keys, what a browser sends on behalf of another site's page is refused, and so is a `Host` "
    "that is not the service's.",
)
UNKNOWN_IMAGE = ErrorKind(
    "unknown-image", 404, "No such image", "No image of this id is enrolled.", causes=(UnknownImageError,)
)
UNKNOWN_COLLECTION = ErrorKind(
    "unknown-collection",
    404,
    "No such collection",
    "There is no collection of this name.",
    causes=(UnknownCollectionError,),
)
UNKNOWN_CAMERA = ErrorKind(
    "unknown-camera",
    404,
    "No such camera",
    "Nothing is known of a camera of this id, or nothing of what was to be removed: it has no images.",
    causes=(UnknownCameraError,),
)
UNKNOWN_VERDICT = ErrorKind(
    "unknown-verdict",
    404,
    "No such verdict",
    "Nobody has decided on this probe and image, or the verdict was taken back or went with its image.",
    causes=(UnknownVerdictError,),
)
UNKNOWN_WATCH = ErrorKind(
    "unknown-watch",
    404,
    "No such watch",
    "There is no watch of this id, or it was removed or went with its image.",
    causes=(UnknownWatchError,),
)
UNKNOWN_DEAD_LETTER = ErrorKind(
    "unknown-dead-letter",
    404,
    "No such dead letter",
    "No alert of this id is a dead letter: its delivery waits or was accepted, or it is gone.",
    causes=(UnknownAlertError,),
)
UNKNOWN_FRAME = ErrorKind(
    "unknown-frame",
    404,
    "No frame is kept of this image",
    "A frame is kept where `keep_frame` is sent with it, and until the first of its images is deleted.",
    causes=(UnknownFrameError,),
)
NO_ROUTE = ErrorKind("no-such-route", 404, "No such route", "Nothing is served at this path; see /docs.")
METHOD = ErrorKind(
    "method-not-allowed", 405, "Method not allowed", "The path exists, for other methods; see `Allow`."
)
TIMEOUT = ErrorKind(
    "request-timeout",
    408,
    "The request took too long to arrive",
    "Its head or body did not arrive in time.",
)
DUPLICATE = ErrorKind(
    "duplicate-image",
    409,
    "The image id is enrolled already",
    "Nothing was changed. `differs` names what was sent and is not as enrolled; where it is empty, the image "
    "is there as it was sent. To replace it, delete the enrolled image first, or choose another id.",
    causes=(DuplicateImageError,),
)
COLLECTION_CONFLICT = ErrorKind(
    "collection-conflict",
    409,
    "The collections do not allow this",
    "There is one of this name already, there are as many as can be, or it is the default one, which stays. "
    "Nothing was changed.",
    causes=(DuplicateCollectionError, FixedCollectionError, TooManyCollectionsError),
)
TOO_MANY_VERDICTS = ErrorKind(
    "too-many-verdicts",
    409,
    "The probe has as many verdicts as it may",
    "Nothing was changed. Take verdicts on this probe back that are not needed any more.",
    causes=(TooManyVerdictsError,),
)
TOO_MANY_WATCHES = ErrorKind(
    "too-many-watches",
    409,
    "The collection has as many watches as it may",
    "Nothing was changed. Remove watches that are not needed any more.",
    causes=(TooManyWatchesError,),
)
NO_WEBHOOK = ErrorKind(
    "no-webhook", 409, "The watch has no webhook", "Nothing was sent; make a watch with `webhook`."
)
CHANGED = ErrorKind(
    "image-changed",
    412,
    "What is known of the image has changed",
    "`If-Match` does not name the record's `ETag`: somebody changed it since it was read. Nothing was "
    "changed; read it again.",
    causes=(ChangedImageError,),
)
TOO_LARGE = ErrorKind("upload-too-large", 413, "The upload is too large", "The detail names the limit.")
NOT_AN_IMAGE = ErrorKind(
    "not-an-image",
    422,
    "The image cannot be used",
    "The bytes are no image, damaged, or of a size or format that is not accepted; the detail says which.",
    causes=(ImageError,),
)
BREAKS_WORKER = ErrorKind(
    "image-breaks-worker",
    422,
    "The image ends the worker that embeds it",
    "As many workers as are let have ended with this image in hand, and it was put aside as a dead letter, "
    "which the detail names. Do not send it again; tell the operator.",
    causes=(DeadLetterError,),
)
INVALID_FIELDS = ErrorKind(
    "invalid-fields",
    422,
    "Fields of the request are wrong",
    "`errors` names each field, what is wrong with it and what it takes.",
    causes=(InvalidEnrollmentError, InvalidCollectionError, BoxError),
)
NO_VEHICLE = ErrorKind(
    "no-vehicle",
    422,
    "No vehicle was found",
    "`detect` was asked for, and the detector finds no vehicle in the image. Where there is one, name it by "
    "`box`, or send a crop of it.",
    causes=(NoVehicleError,),
)
SEVERAL_VEHICLES = ErrorKind(
    "several-vehicles",
    422,
    "The image shows several vehicles",
    "`vehicles` lists them. Send one's `box`, or `detect=largest` or `detect=all`.",
    causes=(SeveralVehiclesError,),
)
HEAD_TOO_LARGE = ErrorKind(
    "request-head-too-large",
    431,
    "The request's head is too large",
    "Its line and its header fields have more bytes, or are more, than is read; the detail names the limit.",
)
RATE_LIMITED = ErrorKind(
    "rate-limited",
    429,
    "Too many requests",
    "This key, or without keys this address, asks faster than is allowed. Try again after `Retry-After` "
    "seconds.",
    retry_after_s=1,
)
CLIENT_GONE = ErrorKind(
    "client-closed-request", 499, "The client hung up", "Never seen by a client; it is counted."
)
INTERNAL = ErrorKind(
    "internal-error",
    500,
    "The service failed",
    "A fault of the service; the log has it under the request id.",
)
EMBEDDING_FAILED = ErrorKind(
    "embedding-failed",
    500,
    "The model failed on this image",
    "Other images are not concerned; the log has the cause under the request id.",
    causes=(EmbeddingError,),
)
DETECTION_FAILED = ErrorKind(
    "detection-failed",
    500,
    "The detector failed",
    "It cannot be loaded, or failed on this image; the log has the cause. Crops and boxes are not concerned.",
    causes=(DetectorError,),
)
NO_DETECTOR = ErrorKind(
    "no-detector",
    501,
    "The service finds no vehicles",
    "Its detector is switched off. Send crops, or name the vehicle by `box`.",
    causes=(NoDetectorError,),
)
NOT_EXPLAINABLE = ErrorKind(
    "not-explainable",
    501,
    "The service's bundle explains no match",
    "It has no re-ranker, or was exported without the parts that explain one; the detail says which. Queries "
    "are not concerned.",
)
OVERLOADED = ErrorKind(
    "overloaded",
    503,
    "The service is at its limit",
    "As many images are waiting, or as many listen for alerts, as are let in, of all or of this caller. "
    "Try again after `Retry-After` seconds.",
    retry_after_s=1,
    causes=(Overloaded,),
)
NOT_READY = ErrorKind(
    "not-ready",
    503,
    "The service is not ready",
    "It is starting, shutting down, or its model does not answer; the detail says which.",
    retry_after_s=5,
    causes=(WorkerStoppedError, DecodePoolError, GalleryClosedError, ForeignBundleError),
)
QUEUE_UNAVAILABLE = ErrorKind(
    "queue-unavailable",
    503,
    "The queue does not answer",
    "Redis, which stands between the service and its workers, is away, slow, or full; nothing was changed.",
    retry_after_s=2,
    causes=(QueueUnavailableError,),
)
AUDIT_FAILED = ErrorKind(
    "audit-failed",
    503,
    "The audit log cannot be written",
    "Nothing is begun that cannot be recorded; what was under way when this happened may have been carried "
    "out. The service's log has the cause.",
    retry_after_s=5,
    causes=(AuditError,),
)
KEYS_UNREADABLE = ErrorKind(
    "keys-unreadable",
    503,
    "The API keys cannot be read",
    "Nobody is let in until they can; the service's log has the cause.",
    retry_after_s=5,
    causes=(KeyFileError,),
)
GALLERY_UNREACHABLE = ErrorKind(
    "gallery-unreachable",
    503,
    "The gallery does not answer",
    "Milvus, the object store or the store that replicas share is away, slow or full; the detail says which. "
    "What was under way may have been carried out.",
    retry_after_s=5,
    causes=(MilvusError, ObjectStoreError, SharedStoreError),
)
GALLERY_DAMAGED = ErrorKind(
    "gallery-damaged",
    503,
    "The gallery is damaged",
    "What the disk gives back is not what was written to it; nothing was changed, and nothing doubtful is "
    "answered. The detail names the image, or the part. Tell the operator.",
    causes=(DamagedImageError, GalleryDamagedError),
)
DISK_FULL = ErrorKind(
    "disk-full",
    507,
    "The disk is full",
    "There is no room to enroll; nothing was changed. Queries and deletions go on, and so does enrolling "
    "once there is room. Tell the operator.",
    causes=(GalleryFullError,),
)
QUOTA_REACHED = ErrorKind(
    "quota-reached",
    507,
    "The collection's quota is reached",
    "The collection would hold more images, or more bytes, than its operator lets it; nothing was changed. "
    "Delete images of it, or have the quota raised.",
    causes=(QuotaReachedError,),
)
DEADLINE = ErrorKind(
    "deadline-exceeded",
    504,
    "No answer within the deadline",
    "The request waited too long and was dropped; nothing was changed.",
    retry_after_s=1,
    causes=(Expired,),
)

KINDS = tuple(kind for kind in tuple(globals().values()) if isinstance(kind, ErrorKind))
"""Every kind above, in this order."""

OF_AN_UPLOAD = (
    MALFORMED,
    TIMEOUT,
    TOO_LARGE,
    NOT_AN_IMAGE,
    BREAKS_WORKER,
    INVALID_FIELDS,
    EMBEDDING_FAILED,
    OVERLOADED,
    NOT_READY,
    GALLERY_DAMAGED,
    QUEUE_UNAVAILABLE,
    DEADLINE,
)
"""What may become of a request that sends an image to be embedded."""

OF_A_FRAME = (
    MALFORMED,
    TIMEOUT,
    TOO_LARGE,
    NOT_AN_IMAGE,
    INVALID_FIELDS,
    DETECTION_FAILED,
    NO_DETECTOR,
    OVERLOADED,
    NOT_READY,
    DEADLINE,
)
"""What may become of a request that sends an image to find vehicles in."""

OF_A_CHOICE = (NO_VEHICLE, SEVERAL_VEHICLES, DETECTION_FAILED, NO_DETECTOR)
"""What may become of an upload besides, where vehicles are to be found in it."""

BY_STATUS = {400: MALFORMED, 404: NO_ROUTE, 405: METHOD}
"""The kinds of the errors that the framework itself raises."""
