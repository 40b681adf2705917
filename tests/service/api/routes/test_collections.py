"""/collections, and `collection` in the URL of everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.access.key import KeyScope, new_key
from tests.service.access.holders import MADE, Guarded, guarded, showing
from tests.service.api.test_problems import check
from tests.service.fakes import GREEN, RED, Running, image_file

NORTH = {"collection": "north"}


def form(**fields: Any) -> dict[str, tuple[None, str]]:
    """A multipart form without files."""
    return {name: (None, str(value)) for name, value in fields.items()}


def enroll(service: Running, image_id: str, **options: Any) -> Any:
    return service.client.post(
        "/gallery", files={"image": ("x", image_file(RED))}, data={"image_id": image_id}, **options
    )


def test_collections_are_made_listed_and_dropped(service: Running) -> None:
    made = service.client.post("/collections", files=form(name="north", max_images=2))
    assert (made.status_code, made.headers["Location"]) == (201, "/collections/north")
    assert service.client.get("/collections/north").json() == made.json()
    [default, north] = service.client.get("/collections").json()["collections"]
    assert (default["name"], default["max_images"]) == ("default", None)
    assert north == {
        "name": "north",
        "images": 0,
        "bytes": north["bytes"],
        "max_images": 2,
        "max_bytes": None,
    }
    assert service.client.delete("/collections/north").status_code == 204
    check(service.client.get("/collections/north"), 404, "unknown-collection")
    check(service.client.delete("/collections/north"), 404, "unknown-collection")
    check(service.client.delete("/collections/default"), 409, "collection-conflict")


@pytest.mark.parametrize(
    "body", [{"json": {"max_images": 5}}, {"data": {"max_images": 5}}, {"content": b"max_images=5"}]
)
def test_a_quota_that_comes_as_no_multipart_form_takes_no_limit_away(
    service: Running, body: dict[str, Any]
) -> None:
    service.client.post("/collections", files=form(name="north", max_images=2))
    refused = service.client.put("/collections/north/quota", **body)
    assert "multipart/form-data" in check(refused, 400, "malformed-request")["detail"]
    assert service.client.get("/collections/north").json()["max_images"] == 2
    check(service.client.post("/collections", **body), 400, "malformed-request")
    assert service.client.put("/collections/north/quota").json()["max_images"] is None


def test_a_quota_with_an_empty_limit_takes_none_away(service: Running) -> None:
    service.client.post("/collections", files=form(name="north", max_images=2))
    for limits, empty in (
        ({"max_images": ""}, "max_images"),
        ({"max_images": 3, "max_bytes": ""}, "max_bytes"),
    ):
        refused = service.client.put("/collections/north/quota", files=form(**limits))
        assert "is empty" in check(refused, 422, "invalid-fields", empty)["errors"][0]["message"]
    assert service.client.get("/collections/north").json()["max_images"] == 2


def test_what_is_enrolled_in_one_is_in_no_other(service: Running) -> None:
    service.client.post("/collections", files=form(name="north"))
    assert enroll(service, "a", params=NORTH).headers["Location"] == "/gallery/a?collection=north"
    assert enroll(service, "a").status_code == 201
    assert enroll(service, "b", params=NORTH).status_code == 201
    for parameters, ids in ((NORTH, ["a", "b"]), ({}, ["a"]), ({"collection": "default"}, ["a"])):
        listed = service.client.get("/gallery", params=parameters).json()["records"]
        assert [record["image_id"] for record in listed] == ids
        probe = {"image": ("x", image_file(GREEN))}
        answer = service.client.post("/query", files=probe, params=parameters).json()
        assert sorted(match["image_id"] for match in answer["matches"]) == ids
        assert answer["gallery_size"] == len(ids)
    assert service.client.delete("/gallery/a", params=NORTH).status_code == 204
    check(service.client.get("/gallery/a", params=NORTH), 404, "unknown-image")
    assert service.client.get("/gallery/a").status_code == 200
    assert service.client.get("/health/ready").json()["gallery_size"] == 2


def test_a_camera_is_known_in_its_collection(service: Running) -> None:
    service.client.post("/collections", files=form(name="north"))
    calibration = {"image": ("x", image_file(RED))}
    path = "/cameras/cam1/calibration"
    assert service.client.post(path, files=calibration, params=NORTH).status_code == 201
    assert service.client.get("/cameras/cam1", params=NORTH).json()["calibrated"] == 1
    check(service.client.get("/cameras/cam1"), 404, "unknown-camera")


def test_a_quota_is_answered_by_507_and_can_be_raised(service: Running) -> None:
    service.client.post("/collections", files=form(name="north", max_images=1))
    assert enroll(service, "a", params=NORTH).status_code == 201
    problem = check(enroll(service, "b", params=NORTH), 507, "quota-reached")
    assert "may hold 1 image" in problem["detail"]
    raised = service.client.put("/collections/north/quota", files=form(max_bytes=10**9))
    assert (raised.json()["max_images"], raised.json()["max_bytes"]) == (None, 10**9)
    assert enroll(service, "b", params=NORTH).status_code == 201


def test_of_a_batch_what_the_quota_has_room_for_is_enrolled(service: Running) -> None:
    service.client.post("/collections", files=form(name="north", max_images=2))
    colours = [(number, 0, 0) for number in (60, 120, 180)]
    files = [("images", ("x", image_file(colour))) for colour in colours]
    answer = service.client.post("/gallery/batch", files=files, params=NORTH).json()
    assert [item["status"] for item in answer["items"]] == [201, 201, 507]
    assert service.client.get("/collections/north").json()["images"] == 2


@pytest.mark.parametrize("name", ["", "North", "a/b", "..", "x" * 64])
def test_a_name_that_none_can_have_is_refused_by_its_value(service: Running, name: str) -> None:
    problem = check(service.client.post("/collections", files=form(name=name)), 422, "invalid-fields", "name")
    if name:
        assert repr(name) in problem["errors"][0]["message"]


def test_an_unknown_collection_and_a_field_in_the_wrong_place_are_told(service: Running) -> None:
    check(service.client.get("/gallery", params=NORTH), 404, "unknown-collection")
    problem = check(service.query(collection="north"), 422, "invalid-fields", "collection")
    assert problem["errors"][0]["message"].endswith("; send it as a parameter of the URL")
    check(service.client.get("/health/ready", params=NORTH), 422, "invalid-fields", "collection")


def test_metrics_tell_collections_apart_and_forget_the_dropped(service: Running) -> None:
    service.client.post("/collections", files=form(name="north", max_images=9))
    enroll(service, "a", params=NORTH)
    lines = service.client.get("/metrics").text.splitlines()
    assert 'lka_reid_collection_images{collection="north"} 1.0' in lines
    assert 'lka_reid_collection_quota_images{collection="north"} 9.0' in lines
    assert "lka_reid_gallery_images 1.0" in lines
    service.client.delete("/collections/north")
    assert 'collection="north"' not in service.client.get("/metrics").text


@pytest.fixture
def limited(tmp_path: Any) -> Any:
    """A service with keys and two collections, and a key of each scope for one of them."""
    with guarded(tmp_path) as holding:
        for name in ("north", "south"):
            headers = holding.headers("admin")
            assert holding.service.client.post(
                "/collections", files=form(name=name), headers=headers
            ).is_success
        for scope in KeyScope:
            secret, key = new_key(f"north {scope}", {scope}, MADE, collections=["north"])
            holding.file.add(key)
            holding.secrets[f"north {scope}"] = secret
        yield holding


def test_a_key_that_is_limited_reaches_its_collections_alone(limited: Guarded) -> None:
    client = limited.service.client
    probe = {"image": ("x", image_file(RED))}

    def ask(method: str, path: str, scope: str, **options: Any) -> Any:
        return client.request(method, path, headers=limited.headers(f"north {scope}"), **options)

    assert ask("POST", "/gallery", "enroll", files=probe, params=NORTH).status_code == 201
    assert ask("POST", "/query", "query", files=probe, params=NORTH).status_code == 200
    assert ask("GET", "/gallery", "admin", params=NORTH).status_code == 200
    for parameters in ({}, {"collection": "south"}, {"collection": "default"}, {"collection": "unheard"}):
        for method, path, scope in (
            ("POST", "/gallery", "enroll"),
            ("POST", "/query", "query"),
            ("GET", "/gallery", "admin"),
            ("DELETE", "/gallery/a", "admin"),
            ("GET", "/cameras", "enroll"),
            ("GET", "/verdicts", "admin"),
        ):
            files = probe if method == "POST" else None
            answer = ask(method, path, scope, params=parameters, files=files)
            check(answer, 403, "collection-out-of-reach")
    twice = ask("GET", "/gallery?collection=north&collection=south", "admin")
    check(twice, 403, "collection-out-of-reach")
    assert [one["name"] for one in ask("GET", "/collections", "query").json()["collections"]] == ["north"]
    check(ask("GET", "/collections/south", "query"), 403, "collection-out-of-reach")
    for method, path in (("DELETE", "/collections/north"), ("PUT", "/collections/north/quota")):
        check(ask(method, path, "admin"), 403, "collection-out-of-reach")
    check(ask("POST", "/collections", "admin", files=form(name="x")), 403, "collection-out-of-reach")
    shown = ask("GET", "/access", "query").json()
    assert shown["key"]["collections"] == ["north"]


def test_the_audit_log_names_the_collection(limited: Guarded, tmp_path: Any) -> None:
    client, headers = limited.service.client, showing(limited.secrets["admin"])
    client.get("/gallery", params=NORTH, headers=headers)
    client.delete("/collections/south", headers=headers)
    client.get("/gallery", headers=headers)
    client.post("/collections", files=form(name="west"), headers=headers)
    client.post("/collections", files=form(name="W" * 99), headers=headers)
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()[-5:]]
    assert [line.get("collection") for line in lines] == ["north", "south", None, "west", None]


def test_a_key_that_is_limited_learns_of_no_other_collection_by_status_and_metrics(limited: Guarded) -> None:
    client, unlimited = limited.service.client, limited.headers("admin")
    enroll(limited.service, "a", headers=unlimited)
    for scope in KeyScope:
        headers = limited.headers(f"north {scope}")
        check(client.get("/metrics", headers=headers), 403, "collection-out-of-reach")
        status = client.get("/status", headers=headers)
        assert (status.status_code, status.json()["gallery"]) == (200, None)
    assert 'collection="south"' in client.get("/metrics", headers=unlimited).text
    assert client.get("/status", headers=unlimited).json()["gallery"]["images"] == 1


def test_a_key_that_is_limited_to_the_default_collection_sees_it_in_the_status(limited: Guarded) -> None:
    secret, key = new_key("default", {KeyScope.QUERY}, MADE, collections=["default"])
    limited.file.add(key)
    status = limited.service.client.get("/status", headers=showing(secret)).json()
    assert status["gallery"]["images"] == 0
