"""The kinds of errors that the service answers; the name ends the problem's `type`."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A kind of error; `RefusedError.kind` is one of these, or the name of a newer one.

    >>> Kind("duplicate-image") is Kind.DUPLICATE_IMAGE
    True
    """

    MALFORMED_REQUEST = "malformed-request"
    KEY_REQUIRED = "key-required"
    SCOPE_MISSING = "scope-missing"
    COLLECTION_OUT_OF_REACH = "collection-out-of-reach"
    FOREIGN_SITE = "foreign-site"
    UNKNOWN_IMAGE = "unknown-image"
    UNKNOWN_COLLECTION = "unknown-collection"
    UNKNOWN_CAMERA = "unknown-camera"
    UNKNOWN_VERDICT = "unknown-verdict"
    UNKNOWN_WATCH = "unknown-watch"
    UNKNOWN_DEAD_LETTER = "unknown-dead-letter"
    UNKNOWN_FRAME = "unknown-frame"
    NO_SUCH_ROUTE = "no-such-route"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    REQUEST_TIMEOUT = "request-timeout"
    DUPLICATE_IMAGE = "duplicate-image"
    COLLECTION_CONFLICT = "collection-conflict"
    TOO_MANY_VERDICTS = "too-many-verdicts"
    TOO_MANY_WATCHES = "too-many-watches"
    NO_WEBHOOK = "no-webhook"
    IMAGE_CHANGED = "image-changed"
    UPLOAD_TOO_LARGE = "upload-too-large"
    NOT_AN_IMAGE = "not-an-image"
    IMAGE_BREAKS_WORKER = "image-breaks-worker"
    INVALID_FIELDS = "invalid-fields"
    NO_VEHICLE = "no-vehicle"
    SEVERAL_VEHICLES = "several-vehicles"
    REQUEST_HEAD_TOO_LARGE = "request-head-too-large"
    RATE_LIMITED = "rate-limited"
    CLIENT_CLOSED_REQUEST = "client-closed-request"
    INTERNAL_ERROR = "internal-error"
    EMBEDDING_FAILED = "embedding-failed"
    DETECTION_FAILED = "detection-failed"
    NO_DETECTOR = "no-detector"
    NOT_EXPLAINABLE = "not-explainable"
    OVERLOADED = "overloaded"
    NOT_READY = "not-ready"
    QUEUE_UNAVAILABLE = "queue-unavailable"
    AUDIT_FAILED = "audit-failed"
    KEYS_UNREADABLE = "keys-unreadable"
    DEADLINE_EXCEEDED = "deadline-exceeded"
    DISK_FULL = "disk-full"
    QUOTA_REACHED = "quota-reached"
    GALLERY_DAMAGED = "gallery-damaged"
    GALLERY_UNREACHABLE = "gallery-unreachable"
