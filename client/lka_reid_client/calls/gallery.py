"""What is enrolled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from lka_reid_client.answers import (
    DeletionAnswer,
    EnrollBatchAnswer,
    EnrolledFrame,
    EnrolledImage,
    EnrolledRecord,
    RecordPage,
    RetentionAnswer,
)
from lka_reid_client.call import MAX_FILE, Call, Image, given, image_part
from lka_reid_client.calls.fields import About, Filter, Moment
from lka_reid_client.calls.listing import listing
from lka_reid_client.calls.parsing import file, model, nothing
from lka_reid_client.naming import image_path
from lka_reid_client.operation import Page, Step
from lka_reid_client.response import Response


def enroll(
    image: Image,
    *,
    box: str | None = None,
    detect: str | None = None,
    keep_frame: bool | None = None,
    **about: Unpack[About],
) -> Call[EnrolledImage]:
    """Enroll an image, of a frame by `box` or by `detect` (`one`, `largest`).

    With an `image_id` it is sent again, too, where nothing was answered. An id that is enrolled already is
    refused (`Kind.DUPLICATE_IMAGE`); `differs` says what is not as enrolled.
    """
    fields = given({"box": box, "detect": detect, "keep_frame": keep_frame, **about})
    return Call(
        "POST",
        "/gallery",
        model(EnrolledImage),
        form=fields,
        parts=lambda: [image_part(image)],
        waits=True,
        repeats="image_id" in fields,
    )


def enroll_detected(
    image: Image, *, keep_frame: bool | None = None, **about: Unpack[About]
) -> Call[EnrolledFrame]:
    """Enroll every vehicle of a frame."""
    return Call(
        "POST",
        "/gallery",
        model(EnrolledFrame),
        form=given({"detect": "all", "keep_frame": keep_frame, **about}),
        parts=lambda: [image_part(image)],
        waits=True,
    )


def enroll_batch(images: Sequence[Image], about: Sequence[Mapping[str, Any]]) -> Call[EnrollBatchAnswer]:
    """What becomes of each of up to 256 images, by one request; see `enroll_all` for more of them."""
    items = json.dumps([given(one) for one in about])
    return Call(
        "POST",
        "/gallery/batch",
        model(EnrollBatchAnswer),
        form={"items": items},
        parts=lambda: [image_part(image, "images") for image in images],
        waits=True,
        repeats=all("image_id" in one for one in about),
    )


def record(image_id: str) -> Call[EnrolledRecord]:
    """What is known of an enrolled image."""
    return Call("GET", image_path("gallery", image_id), model(EnrolledRecord))


def record_page(*, limit: int = 100, after: str | None = None, **where: Unpack[Filter]) -> Call[RecordPage]:
    """A page of records; `after` is the last page's `next`."""
    return Call("GET", "/gallery", model(RecordPage), params=given({"limit": limit, "after": after, **where}))


def records(*, limit: int | None = None, **where: Unpack[Filter]) -> Step[EnrolledRecord]:
    """The records that a filter lets through, in order of enrollment, at most `limit`; page by page."""
    return listing("/gallery", _record_page, given(dict(where)), left=limit)


def _record_page(response: Response) -> tuple[Sequence[EnrolledRecord], str | None]:
    page = model(RecordPage)(response)
    return page.records, page.next


def image(image_id: str, *, frame: bool | None = None) -> Call[tuple[bytes, str]]:
    """The file of an enrolled image, or the frame that it was cut out of, and its media type."""
    return Call(
        "GET",
        f"{image_path('gallery', image_id)}/image",
        file,
        params=given({"frame": frame}),
        max_bytes=MAX_FILE,
    )


def update(
    image_id: str,
    *,
    vehicle_id: str | None = None,
    camera_id: str | None = None,
    captured_at: Moment | None = None,
    view: str | None = None,
    vehicle_type: str | None = None,
    tags: Sequence[str] | None = None,
    clear: Sequence[str] | str | None = None,
) -> Call[EnrolledRecord]:
    """Give fields of a record new values; `clear` names those that are taken away."""
    fields = {
        "vehicle_id": vehicle_id,
        "camera_id": camera_id,
        "captured_at": captured_at,
        "view": view,
        "vehicle_type": vehicle_type,
        "tags": tags,
        "clear": clear,
    }
    return Call(
        "PATCH",
        image_path("gallery", image_id),
        model(EnrolledRecord),
        form=given(fields),
        waits=True,
        repeats=True,
    )


def delete(image_id: str) -> Call[None]:
    """Delete an enrolled image; `Kind.UNKNOWN_IMAGE` where there is none."""
    return Call("DELETE", image_path("gallery", image_id), nothing)


def count(**where: Unpack[Filter]) -> Call[int]:
    """How many images meet conditions, one condition at least."""

    def parse(response: Response) -> int:
        return model(DeletionAnswer)(response).left

    return Call("DELETE", "/gallery", parse, params=given({**where, "dry_run": True}))


def delete_where(**where: Unpack[Filter]) -> Step[DeletionAnswer]:
    """Delete all images that meet conditions, one condition at least; what each request came to."""

    def parse(response: Response) -> Page[DeletionAnswer]:
        answer = model(DeletionAnswer)(response)
        return Page([answer], (lambda: call) if answer.left else (lambda: None))

    call: Call[Page[DeletionAnswer]] = Call(
        "DELETE", "/gallery", parse, params=given(dict(where)), waits=True, repeats=True
    )
    return call


def retention(days: int | None = None) -> Call[RetentionAnswer]:
    """How long images are kept; with `days`, how many are older than that."""
    return Call("GET", "/retention", model(RetentionAnswer), params=given({"days": days}))


def set_retention(days: int) -> Call[RetentionAnswer]:
    """Keep images for so many days."""
    return Call("PUT", "/retention", model(RetentionAnswer), params=given({"days": days}))


def forget_retention() -> Call[RetentionAnswer]:
    """Keep images for ever."""
    return Call("DELETE", "/retention", model(RetentionAnswer))
