"""What the OpenAPI document cannot say: images that can be decoded, legal names, what belongs together."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from service.identifiers import is_camera_id, is_image_id, is_label
from tests.service.fakes import image_file

IMAGES = [image_file((red, 40, 200), kind) for red in (10, 120, 240) for kind in ("PNG", "JPEG", "WEBP")]
# With a known one now and then, so that more than the answer 404 is seen.
NAMES = st.one_of(st.sampled_from(["a", "b", "cam3"]), st.text(min_size=1, max_size=40))
OF_OTHERS = ("box", "detect", "keep_frame", "items", "captured_to", "after", "webhook", "secret")
"""Fields whose good values depend on the image, the number of images, or another field."""

schemathesis.openapi.format("binary", st.sampled_from(IMAGES))
schemathesis.openapi.format("label", NAMES.filter(is_label))
schemathesis.openapi.format("camera-id", NAMES.filter(is_camera_id))
schemathesis.openapi.format("image-id", NAMES.filter(is_image_id))


@schemathesis.hook("filter_case")
def has_no_empty_field(_context: Any, case: Any) -> bool:
    """Leave out forms with an empty field: it counts as one that is not sent, whatever its schema."""
    is_good = case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE
    return is_good or not isinstance(case.body, dict) or not any(value == "" for value in case.body.values())


@schemathesis.hook("before_call")
def make_good_what_is_meant_to_be(_context: Any, case: Any, **_: object) -> None:
    """Complete a request that is meant to be good by what only the text of the document says."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    for fields in (case.body, case.query):
        if isinstance(fields, dict):
            for name in OF_OTHERS:
                fields.pop(name, None)
    label = f"{case.method} {case.path}"
    if label == "DELETE /gallery" and not set(case.query or {}) - {"dry_run", "collection"}:
        case.query = {**(case.query or {}), "only_camera_id": ["cam9"]}  # a deletion wants a condition
    if label == "POST /watches" and isinstance(case.body, dict):
        case.body.pop("image_id", None)  # in place of a file
        case.body |= {"image": IMAGES[0], "threshold": 0.9}  # which the fake bundle does not have
    if label == "PATCH /gallery/{image_id}" and isinstance(case.body, dict):
        case.body.pop("clear", None)  # which may name no field that gets a value
        case.body.setdefault("view", "front")  # a change wants a field
        case.headers = {
            k: v for k, v in (case.headers or {}).items() if k.lower() != "if-match"
        }  # of another record
    # A form with files, once changed, would else count as one that breaks the document.
    case._record_starting_state()
