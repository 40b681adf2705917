"""What a multipart form may hold, checked before its fields are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import get_origin

from fastapi import UploadFile
from pydantic import BaseModel
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

from service.api.error_kinds import MALFORMED, TOO_LARGE
from service.api.errors import FieldFault, ServiceError
from service.api.middleware.upload import is_form
from service.api.problems import invalid_fields

# Files stay in memory: a form is bounded before it is read (`middleware.upload`), and a disk may be full.
MultiPartParser.spool_max_size = 2**63

IN_THE_URL = {"collection": "; send it as a parameter of the URL"}
FILES = ("image", "candidate_image", "images")


def only_fields_of(form: type[BaseModel], filled: Iterable[str] = ()) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses fields the form does not have, and a second value for one that takes one.

    An empty text reads as if the field were not there. `filled` names the fields where that would take away
    a condition or a limit, or change less than was asked for: they are refused, too.

    Where the form has no file whose absence would tell of it, a body that is no multipart form is refused:
    it reads as an empty one, and an empty quota takes the limits away.

    Raises:
        ServiceError: INVALID_FIELDS, naming each; MALFORMED.
    """
    has_files = any(name in form.model_fields for name in FILES)
    repeatable = {name for name, field in form.model_fields.items() if get_origin(field.annotation) is list}
    # Lists hold their empty values, and are refused for them by their own rules.
    never_empty = [name for name in filled if name not in repeatable]

    async def check(request: Request) -> None:
        if not has_files and _has_body(request) and not is_form(request.headers):
            kind = request.headers.get("content-type", "of no content type")[:64]
            raise ServiceError(
                MALFORMED,
                f"the body is {kind}; this takes multipart/form-data, which curl sends by -F FIELD=VALUE. "
                "Nothing was changed",
            )
        counts = Counter(name for name, _ in (await request.form()).multi_items())
        takes = ", ".join(form.model_fields)
        faults = [
            FieldFault(name, f"is not a field of this form; it takes {takes}{IN_THE_URL.get(name, '')}")
            for name in counts
            if name not in form.model_fields
        ]
        faults += [
            FieldFault(name, f"comes {count} times; send it once")
            for name, count in counts.items()
            if count > 1 and name in form.model_fields and name not in repeatable
        ]
        faults += [
            FieldFault(name, "is empty; give it a value, or leave it out")
            for name in never_empty
            if "" in (await request.form()).getlist(name)
        ]
        faults += [
            FieldFault(name, f"is text; send it as a file part, as in curl -F {name}=@car.jpg")
            for name in FILES
            if name in form.model_fields
            and any(isinstance(value, str) for value in (await request.form()).getlist(name))
        ]
        if faults:
            raise invalid_fields(faults)

    return check


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


async def read_image(upload: UploadFile, max_bytes: int) -> bytes:
    """The uploaded file; the form's copy of it is let go.

    Raises:
        ServiceError: TOO_LARGE.
    """
    if upload.size is not None and upload.size > max_bytes:
        raise ServiceError(
            TOO_LARGE, f"the image has {upload.size:,} bytes; {max_bytes:,} are accepted at most"
        )
    data = await upload.read()
    await upload.close()
    return data
