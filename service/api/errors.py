"""Errors as the service answers them: a kind, and a detail without paths of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from index import InvalidCollectionError, InvalidEnrollmentError
from models.decoding import BoxError, ImageError
from models.decoding.tasks import FrameVehicles
from service.api.error_kinds import AUDIT_FAILED, INTERNAL, KEYS_UNREADABLE, KINDS, ErrorKind
from service.retrieval.enrollment import AlreadyEnrolledError
from service.retrieval.frames import FrameError


@dataclass(frozen=True)
class FieldFault:
    """What is wrong with one field of a request, and what it takes."""

    field: str
    message: str


class ServiceError(HTTPException):
    """An error of a known kind; its detail goes to the caller.

    It is one of the framework's errors because those pass through its reading of forms as they are; others
    come out as a form that cannot be read, in a cycle that keeps the form's bytes until it is collected.

    Attributes:
        headers: of its answer.
        differs: of DUPLICATE, see `AlreadyEnrolledError`.
        frame: what the image shows, where that is why.
    """

    def __init__(
        self,
        kind: ErrorKind,
        detail: str,
        faults: Sequence[FieldFault] = (),
        headers: Mapping[str, str] | None = None,
        differs: tuple[str, ...] | None = None,
        frame: FrameVehicles | None = None,
    ) -> None:
        super().__init__(kind.status, detail, dict(headers or {}))
        self.kind = kind
        self.faults = tuple(faults)
        self.differs = differs
        self.frame = frame

    def __str__(self) -> str:
        return self.detail


# Their messages are for the operator.
_IN_THE_LOG_ONLY = (AUDIT_FAILED, KEYS_UNREADABLE)

_PATH = re.compile(r"(?<![\w.~:/-])~?(?:/[^\s/'\"`,;:()<>]+)+/?")

_BY_CAUSE = {cause: kind for kind in KINDS for cause in kind.causes}


def as_service_error(error: Exception) -> ServiceError | None:
    """The error as it is answered; None for an exception that no kind lists."""
    if isinstance(error, ServiceError):
        return error
    kind = next((_BY_CAUSE[cls] for cls in type(error).__mro__ if cls in _BY_CAUSE), None)
    if kind is None:
        return None
    is_for_the_log = kind.status == INTERNAL.status or kind in _IN_THE_LOG_ONLY
    detail = kind.meaning if is_for_the_log else without_paths(str(error))
    if isinstance(error, ImageError):
        return ServiceError(kind, detail, [FieldFault("image", detail)])
    if isinstance(error, BoxError):
        return ServiceError(kind, detail, [FieldFault("box", detail)])
    if isinstance(error, FrameError):
        return ServiceError(kind, detail, frame=error.found)
    if isinstance(error, AlreadyEnrolledError):
        return ServiceError(kind, detail, differs=error.differs)
    if isinstance(error, InvalidEnrollmentError):
        return ServiceError(
            kind, detail, [FieldFault(error.field, f"is {error.value}, expected {error.expectation}")]
        )
    if isinstance(error, InvalidCollectionError):
        fault = f"is {error.value!r}, which is no name; it takes {error.rule}"
        return ServiceError(kind, detail, [FieldFault("name", fault)])
    return ServiceError(kind, detail)


def without_paths(text: str) -> str:
    """The text with "..." for each absolute path: callers learn nothing of this machine."""
    return _PATH.sub("...", text)
