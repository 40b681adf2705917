"""Finding the images most similar to a probe, vehicles in frames, and why a match is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, Unpack

from lka_reid_client.answers import (
    ExplanationAnswer,
    FoundVehicles,
    FrameAnswer,
    QueryAnswer,
    QueryBatchAnswer,
)
from lka_reid_client.call import Call, Image, Part, given, image_part
from lka_reid_client.calls.fields import Filter
from lka_reid_client.calls.parsing import file, model
from lka_reid_client.response import Response

T = TypeVar("T")


def query(
    image: Image,
    *,
    top_k: int = 10,
    rerank: bool = True,
    verdicts: bool = True,
    camera_id: str | None = None,
    box: str | None = None,
    detect: str | None = None,
    **where: Unpack[Filter],
) -> Call[QueryAnswer]:
    """The enrolled images most similar to a probe, best first.

    Args:
        image: the probe's file: one vehicle, or a frame with `box` or `detect`.
        top_k: matches wanted, 1 to 100.
        rerank: whether the second stage re-orders the first matches.
        verdicts: whether verdicts on this probe count.
        camera_id: the probe's camera, where known.
        box: the vehicle's box in a frame, `x,y,w,h` in px.
        detect: which vehicle of a frame is meant: `one` or `largest`; for all of them see `query_all`.
        **where: which images are searched; see `Filter`.
    """
    fields = {"top_k": top_k, "rerank": rerank, "verdicts": verdicts, "camera_id": camera_id}
    return _query(model(QueryAnswer), image, {**fields, "box": box, "detect": detect, **where})


def query_all(
    image: Image,
    *,
    top_k: int = 10,
    rerank: bool = True,
    verdicts: bool = True,
    camera_id: str | None = None,
    **where: Unpack[Filter],
) -> Call[FrameAnswer]:
    """One answer for each vehicle of a frame; see `query`."""
    fields = {"top_k": top_k, "rerank": rerank, "verdicts": verdicts, "camera_id": camera_id}
    return _query(model(FrameAnswer), image, {**fields, "detect": "all", **where})


def query_batch(
    images: Sequence[Image],
    *,
    camera_ids: Sequence[str | None] | None = None,
    top_k: int = 10,
    rerank: bool = True,
    verdicts: bool = True,
    **where: Unpack[Filter],
) -> Call[QueryBatchAnswer]:
    """What becomes of each of up to 256 probes, by one request; `camera_ids` has one for each, if given."""
    items = None if camera_ids is None else json.dumps([given({"camera_id": one}) for one in camera_ids])
    fields = {"top_k": top_k, "rerank": rerank, "verdicts": verdicts, "items": items, **where}
    return Call(
        "POST",
        "/query/batch",
        model(QueryBatchAnswer),
        form=given(fields),
        parts=lambda: [image_part(image, "images") for image in images],
        waits=True,
    )


def detect(image: Image) -> Call[FoundVehicles]:
    """The vehicles in a frame, the surest first."""
    return Call(
        "POST",
        "/detect",
        model(FoundVehicles),
        parts=lambda: [image_part(image)],
        of_collection=False,
        waits=True,
    )


def explain(
    image: Image,
    candidate: Image | None = None,
    *,
    candidate_id: str | None = None,
    candidate_camera_id: str | None = None,
    camera_id: str | None = None,
    box: str | None = None,
    detect: str | None = None,
) -> Call[ExplanationAnswer]:
    """Why a probe and a candidate, a file or an enrolled image, are near or far, in numbers.

    Args:
        image: the probe's file: one vehicle, or a frame with `box` or `detect`.
        candidate: the candidate's file; None for an enrolled one.
        candidate_id: the image id of an enrolled candidate.
        candidate_camera_id: the camera of `candidate`, where known; that of an enrolled one is known.
        camera_id: the probe's camera, where known.
        box: the vehicle's box in a frame, `x,y,w,h` in px.
        detect: which vehicle of a frame is meant: `one` or `largest`.
    """
    fields = {
        "candidate_id": candidate_id,
        "candidate_camera_id": candidate_camera_id,
        "camera_id": camera_id,
        "box": box,
        "detect": detect,
    }
    return _explain(model(ExplanationAnswer), "application/json", image, candidate, fields)


def explain_figure(
    image: Image,
    candidate: Image | None = None,
    *,
    candidate_id: str | None = None,
    candidate_camera_id: str | None = None,
    camera_id: str | None = None,
    box: str | None = None,
    detect: str | None = None,
) -> Call[bytes]:
    """The same as a figure, a PNG file; see `explain`."""
    fields = {
        "candidate_id": candidate_id,
        "candidate_camera_id": candidate_camera_id,
        "camera_id": camera_id,
        "box": box,
        "detect": detect,
    }
    return _explain(_figure, "image/png", image, candidate, fields)


def _query(answer: Callable[[Response], T], image: Image, fields: Mapping[str, object]) -> Call[T]:
    return Call("POST", "/query", answer, form=given(fields), parts=lambda: [image_part(image)], waits=True)


def _explain(
    answer: Callable[[Response], T],
    accepted: str,
    image: Image,
    candidate: Image | None,
    fields: Mapping[str, object],
) -> Call[T]:
    def parts() -> list[Part]:
        more = [] if candidate is None else [image_part(candidate, "candidate_image")]
        return [image_part(image), *more]

    return Call(
        "POST",
        "/explain",
        answer,
        form=given(fields),
        parts=parts,
        headers={"Accept": accepted},
        waits=True,
    )


def _figure(response: Response) -> bytes:
    return file(response)[0]
