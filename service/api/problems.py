"""Errors as they go over the wire: whatever is no success is a problem+json of the one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.api.context import context_of, path_of, route_of
from service.api.error_kinds import BY_STATUS, INTERNAL, INVALID_FIELDS, KINDS, MALFORMED, ErrorKind
from service.api.errors import FieldFault, ServiceError, as_service_error
from service.api.problem_answers import FieldError, Problem
from service.api.vehicles import FoundVehicles
from service.observability.errors import AnsweredErrors
from service.observability.metrics import Metrics

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
EXAMPLES = "#/components/examples"
"""Where the OpenAPI document has an example of each kind, by its name."""
MAX_FAULTS = 32
"""Fields that an answer names at most, however many of a request are wrong."""
MAX_NAME = 64
IMAGE_MISSING = "is required: the image as a file part of a multipart form, as in curl -F image=@car.jpg"


def install(app: FastAPI) -> None:
    """Answer every foreseen error, the framework's own included, as a problem."""
    foreseen = [cause for kind in KINDS for cause in kind.causes]
    for cause in (ServiceError, HTTPException, RequestValidationError, *foreseen):
        app.add_exception_handler(cause, on_error)


async def on_error(request: Request, error: Exception) -> JSONResponse:
    """The problem+json for any error; it is counted under its kind."""
    known = translate(error)
    metrics: Metrics = request.app.state.metrics
    metrics.rejected(known.kind.name)
    errors: AnsweredErrors = request.app.state.errors
    errors.note(known.kind.name, route_of(request.scope), context_of(request).request_id)
    path = request.scope.get("root_path", "") + path_of(request.scope)
    return answer(known, path, context_of(request).request_id)


def answer(error: ServiceError, path: str, request_id: str) -> JSONResponse:
    """An error as an answer to the request of this path."""
    kind = error.kind
    headers = dict(error.headers or {})
    if kind.retry_after_s is not None:
        headers.setdefault("Retry-After", str(kind.retry_after_s))
    problem = document(error, path, request_id)
    return JSONResponse(problem.model_dump(exclude_none=True), kind.status, headers, MEDIA_TYPE)


def of_item(request: Request, error: Exception) -> Problem:
    """The problem of one item of a batch; it is counted under its kind, as that of a request is."""
    known = translate(error)
    if known.kind is INTERNAL:
        log.error("item_failed", exc_info=error)
    metrics: Metrics = request.app.state.metrics
    metrics.rejected(known.kind.name)
    path = request.scope.get("root_path", "") + path_of(request.scope)
    return document(known, path, context_of(request).request_id)


def document(error: ServiceError, path: str, request_id: str) -> Problem:
    """An error as a problem document of the request of this path."""
    kind = error.kind
    return Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=error.detail,
        instance=quote(path),
        request_id=request_id,
        errors=[FieldError(field=fault.field, message=fault.message) for fault in error.faults] or None,
        differs=None if error.differs is None else list(error.differs),
        **({} if error.frame is None else FoundVehicles.of(error.frame).model_dump()),
    )


def is_foreseen(error: Exception) -> bool:
    """Whether an error has a kind of its own, and is not a fault of the service."""
    return isinstance(error, HTTPException | RequestValidationError) or as_service_error(error) is not None


def translate(error: Exception) -> ServiceError:
    """Any error as it is answered; one that nobody foresaw becomes INTERNAL and says nothing of its cause."""
    if isinstance(error, RequestValidationError):
        return invalid_fields([_fault(item) for item in error.errors()])
    if isinstance(error, HTTPException) and not isinstance(error, ServiceError):
        kind = BY_STATUS.get(error.status_code, MALFORMED)
        detail = kind.meaning if kind.status in (404, 405) else error.detail
        return ServiceError(kind, detail, headers=error.headers)
    return as_service_error(error) or ServiceError(INTERNAL, INTERNAL.meaning)


def invalid_fields(faults: list[FieldFault]) -> ServiceError:
    """The error that names these fields, the first of them where there are many."""
    shown = [FieldFault(_shortened(fault.field), fault.message) for fault in faults[:MAX_FAULTS]]
    names = ", ".join(dict.fromkeys(fault.field for fault in shown))
    more = f", and {len(faults) - MAX_FAULTS:,} more" if len(faults) > MAX_FAULTS else ""
    return ServiceError(INVALID_FIELDS, f"these fields are wrong: {names}{more}", shown)


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 3] + "..."


def responses(*kinds: ErrorKind) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route's errors; INTERNAL is added to each route's."""
    by_status: dict[int, list[ErrorKind]] = {}
    for kind in (*kinds, INTERNAL):
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": "  \n".join(f"`{kind.type}` {kind.title}. {kind.meaning}" for kind in group),
            "model": Problem,
            "content": {
                "application/json": {
                    "examples": {kind.name: {"$ref": f"{EXAMPLES}/{kind.name}"} for kind in group}
                }
            },
        }
        for status, group in by_status.items()
    }


def _fault(item: Mapping[str, Any]) -> FieldFault:
    where = [str(part) for part in item["loc"][1:]]
    field = ".".join(where) or str(item["loc"][0])
    if item["type"] == "missing":
        where_to = ", as a parameter of the URL" if item["loc"][0] == "query" else ""
        return FieldFault(field, IMAGE_MISSING if field == "image" else f"is required{where_to}")
    message = str(item["msg"])
    return FieldFault(field, message[:1].lower() + message[1:])
