"""Ids: legal ones survive the way through a URL, made ones sort by time."""

from __future__ import annotations

import re
import uuid
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.identifiers import MAX_IMAGE_ID, ImageId, is_camera_id, new_image_id, request_id

image_ids: TypeAdapter[str] = TypeAdapter(ImageId)


@pytest.mark.slow
@given(st.text(max_size=20) | st.from_regex(r"[a-z./ ]{1,8}(/image)?", fullmatch=True))
def test_a_legal_id_is_one_path_and_no_other_routes(text: str) -> None:
    try:
        legal = image_ids.validate_python(text)
    except ValidationError:
        return
    assert legal == text
    assert unquote(quote(text)) == text
    assert not re.search(r"(^|/)(\.{0,2})(/|$)", text)
    assert not text.endswith("/image")
    assert len(text) <= MAX_IMAGE_ID
    assert "\0" not in text


@pytest.mark.parametrize(
    "text", ["a", "image", "cam1/0001.jpg", "a b/c?d#e%f", "\u00fc", "...", "a/image.jpg"]
)
def test_ordinary_ids_are_legal(text: str) -> None:
    assert image_ids.validate_python(text) == text


@pytest.mark.parametrize(
    ("text", "is_legal"),
    [("gate 3/a", True), ("...", True), ("a//b", True), ("a/", True), ("a.b", True), ("a\\..\\b", True)]
    + [(text, False) for text in ("..", ".", "./x", "x/.", "a/../b", "", " a", "a\n", "x" * 257)],
)
def test_a_camera_id_is_a_label_without_dots_alone_between_slashes(text: str, is_legal: bool) -> None:
    assert is_camera_id(text) is is_legal


def test_made_up_ids_are_uuids_of_version_7() -> None:
    made = uuid.UUID(new_image_id())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    image_ids.validate_python(str(made))


def test_request_ids_are_made_up_where_none_is_sent() -> None:
    assert request_id(None) != request_id(None)
    assert request_id("mine") == "mine"
