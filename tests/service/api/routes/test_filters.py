"""Filters over HTTP: the same fields in a form and in a URL; a malformed value is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, running

IMAGES: dict[str, dict[str, Any]] = {
    "a": {
        "camera_id": "cam 1",
        "vehicle_id": "v1",
        "view": "front",
        "vehicle_type": "bus",
        "tags": ["night"],
    },
    "b": {"camera_id": "cam 2", "vehicle_id": "v2", "view": "rear", "tags": ["night", "größer; als"]},
    "c": {"vehicle_type": "car", "captured_at": "2024-05-17T08:00:00+02:00"},
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with three images."""
    with running(tmp_path_factory.mktemp("service")) as service:
        for colour, (image_id, fields) in zip((RED, GREEN, BLUE), IMAGES.items(), strict=True):
            assert service.enroll(image_file(colour), image_id=image_id, **fields).status_code == 201
        yield service


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"only_camera_id": "cam 1"}, "a"),
        ({"only_camera_id": ["cam 1", "cam 2", "unheard of"]}, "ab"),
        ({"not_camera_id": "cam 1"}, "bc"),
        ({"only_vehicle_id": ["v1", "v2"], "not_camera_id": ["cam 2"]}, "a"),
        ({"only_view": "rear"}, "b"),
        ({"only_vehicle_type": ["bus", "car"]}, "ac"),
        ({"any_tag": ["night", "rain"]}, "ab"),
        ({"all_tag": ["night", "größer; als"]}, "b"),
        ({"captured_from": "2024-05-17T06:00:00Z"}, "c"),
        ({"captured_to": "2024-05-17T06:00:00Z"}, ""),
        ({"captured_from": "2024-05-17T05:59:59Z", "captured_to": "2024-05-17T06:00:01Z"}, "c"),
        ({"only_vehicle_id": "unheard of"}, ""),
    ],
)
def test_a_form_and_a_url_let_the_same_images_through(
    filled: Running, fields: dict[str, Any], found: str
) -> None:
    answer = filled.query(**fields).json()
    assert sorted(match["image_id"] for match in answer["matches"]) == list(found)
    assert (answer["searched"], answer["gallery_size"]) == (len(found), 3)
    listed = filled.client.get("/gallery", params=fields).json()
    assert [record["image_id"] for record in listed["records"]] == list(found)
    assert listed["next"] is None


def test_pages_of_a_filter_go_on_where_the_last_one_ended(filled: Running) -> None:
    first = filled.client.get("/gallery", params={"any_tag": "night", "limit": 1}).json()
    assert [record["image_id"] for record in first["records"]] == ["a"]
    second = filled.client.get("/gallery", params={"any_tag": "night", "limit": 1, "after": first["next"]})
    assert [record["image_id"] for record in second.json()["records"]] == ["b"]


def test_without_a_filter_nothing_is_said_of_one(filled: Running) -> None:
    assert "searched" not in filled.query().json()


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        (
            {"only_camera_id": ["cam 1", "a\tb"]},
            "only_camera_id.1",
            r"is 'a\\tb', which nothing can be called",
        ),
        ({"any_tag": ""}, "any_tag.0", "is '', which nothing can be called; it takes 1 .. 256 printable"),
        ({"all_tag": "x" * 300}, "all_tag.0", r"is 'x{61}\.\.\.', which nothing"),
        ({"only_view": ["x"] * 257}, "only_view", "at most 256"),
        ({"captured_from": ""}, "captured_from", "is empty|is '': it is not a time"),
        ({"captured_from": "yesterday"}, "captured_from", "is 'yesterday': it is not a time; it takes ISO"),
        ({"captured_to": "2024-05-17T08:00"}, "captured_to", "is '2024-05-17T08:00': it has no offset"),
        (
            {"captured_from": "2024-05-17T08:00:00Z", "captured_to": "2024-05-17T08:00:00Z"},
            "captured_to",
            "is 2024-05-17T08:00:00.*, not later than captured_from",
        ),
    ],
)
def test_a_malformed_value_is_named_with_its_field(
    filled: Running, fields: dict[str, Any], field: str, message: str
) -> None:
    for answer in (filled.query(**fields), filled.client.get("/gallery", params=fields)):
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["field"] == field
        assert re.search(message, error["message"]), error["message"]
