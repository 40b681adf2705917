"""Images are changed, deleted by a filter and kept for a time, and the audit log says who did it."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from index import GalleryError, LocalGallery
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, running


def patch(service: Running, image_id: str, /, **fields: Any) -> Any:
    parts = [
        (name, (None, value))
        for name, values in fields.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return service.client.patch(f"/gallery/{image_id}", files=parts)


def test_fields_change_and_are_taken_away_and_the_rest_stays(service: Running) -> None:
    before = service.enroll(image_id="cam 3/a", vehicle_id="v", view="front", tags=["x", "y"]).json()
    answer = patch(
        service,
        "cam 3/a",
        camera_id="cam4",
        captured_at="2024-05-17T08:30:00+02:00",
        tags=["z"],
        clear=["view", "vehicle_id"],
    )
    assert answer.status_code == 200
    assert answer.json() == before | {
        "camera_id": "cam4",
        "captured_at": "2024-05-17T06:30:00Z",
        "tags": ["z"],
        "view": None,
        "vehicle_id": None,
    }
    assert service.client.get("/gallery/cam 3/a").json() == answer.json()
    assert patch(service, "cam 3/a", clear="tags").json()["tags"] == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "clear"),
        ({"view": ""}, "view"),
        ({"captured_at": "", "view": "rear"}, "captured_at"),
        ({"view": " x"}, "view"),
        ({"image_id": "b"}, "image_id"),
        ({"clear": "image_id"}, "clear.0"),
        ({"captured_at": "2024-05-17T08:30:00"}, "captured_at"),
        ({"view": ["a", "b"]}, "view"),
    ],
)
def test_what_cannot_be_is_refused_by_name(service: Running, fields: dict[str, Any], field: str) -> None:
    before = service.enroll(image_id="a", view="front").json()
    answer = patch(service, "a", **fields)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert service.client.get("/gallery/a").json() == before


def test_a_field_is_not_given_and_cleared_at_once(service: Running) -> None:
    service.enroll(image_id="a", view="front")
    for given, name in (({"view": "rear"}, "view"), ({"tags": "x"}, "tags")):
        answer = patch(service, "a", **given, clear=name)
        [fault] = answer.json()["errors"]
        assert (answer.status_code, fault["field"]) == (422, "clear")
        assert fault["message"].startswith(f"names {name}, which the request gives a value, too")


def test_an_image_that_is_not_enrolled_is_not_changed(service: Running) -> None:
    assert patch(service, "nobody", view="front").status_code == 404


def test_a_camera_that_was_wrong_is_put_right_in_its_statistics(service: Running) -> None:
    service.enroll(image_file(RED), image_id="a", camera_id="c1")
    service.enroll(image_file(GREEN), image_id="b", camera_id="c2")
    patch(service, "b", camera_id="c1")
    cameras = {one["camera_id"]: one["enrolled"] for one in service.client.get("/cameras").json()["cameras"]}
    assert cameras == {"c1": 2}


def test_a_filter_deletes_after_a_dry_run_counted(service: Running) -> None:
    for number, colour in enumerate((RED, GREEN, BLUE)):
        service.enroll(image_file(colour), image_id=f"{number}", camera_id=f"c{number % 2}")
    where = {"only_camera_id": ["c0", "c7"]}
    dry = service.client.delete("/gallery", params={**where, "dry_run": "true"})
    assert (dry.status_code, dry.json()) == (200, {"dry_run": True, "deleted": 0, "left": 2})
    assert service.gallery.count() == 3
    answer = service.client.delete("/gallery", params=where)
    assert (answer.status_code, answer.json()) == (200, {"dry_run": False, "deleted": 2, "left": 0})
    assert [one["image_id"] for one in service.client.get("/gallery").json()["records"]] == ["1"]
    assert service.client.delete("/gallery", params=where).json()["deleted"] == 0


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "only_camera_id"),
        ({"dry_run": "true"}, "only_camera_id"),
        ({"only_camera_id": ""}, "only_camera_id.0"),
        ({"only_camera": "c1"}, "only_camera"),
        ({"only_view": "front", "dry_run": "perhaps"}, "dry_run"),
    ],
)
def test_a_deletion_without_a_condition_or_with_a_mistake_deletes_nothing(
    service: Running, parameters: dict[str, str], field: str
) -> None:
    service.enroll(image_id="a", view="front")
    answer = service.client.delete("/gallery", params=parameters)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert service.gallery.count() == 1


def test_a_deletion_that_takes_long_says_what_is_left(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.routes.alterations.DELETED_AT_ONCE", 1)
    monkeypatch.setattr("service.api.routes.alterations.SHARE", 0.0)
    for number in range(3):
        service.enroll(image_id=f"{number}", camera_id="c")
    left = [
        service.client.delete("/gallery", params={"only_camera_id": "c"}).json()["left"] for _ in range(3)
    ]
    assert left == [2, 1, 0]


def test_the_same_bytes_under_another_id_are_noticed_and_not_refused(service: Running) -> None:
    first = service.enroll(image_file(RED), image_id="a")
    assert "same_image" not in first.json()
    again = service.enroll(image_file(RED), image_id="b")
    assert (again.status_code, again.json()["same_image"]) == (201, ["a"])
    assert service.enroll(image_file(RED), image_id="c").json()["same_image"] == ["a", "b"]
    assert "same_image" not in service.enroll(image_file(GREEN), image_id="d").json()
    service.client.delete("/gallery/a")
    assert service.enroll(image_file(RED), image_id="e").json()["same_image"] == ["b", "c"]


def test_images_are_kept_for_as_long_as_is_set(service: Running) -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=90)).isoformat()
    service.enroll(image_id="old", captured_at=long_ago)
    service.enroll(image_file(GREEN), image_id="young")
    nothing = {"days": None, "expired": 0, "deleted": 0, "failed": False}
    assert service.client.get("/retention").json() == nothing
    assert service.client.get("/retention", params={"days": 30}).json() == nothing | {"expired": 1}
    assert service.client.put("/retention", params={"days": 30}).json()["days"] == 30
    for _ in range(600):
        if service.gallery.count() == 1:
            break
        time.sleep(0.05)
    assert service.client.get("/gallery/old").status_code == 404
    assert service.client.get("/retention").json()["days"] == 30
    assert service.client.delete("/retention").json()["days"] is None
    for wrong in ({}, {"days": 0}, {"days": 36_501}, {"days": "x"}):
        assert service.client.put("/retention", params=wrong).status_code == 422


def test_the_audit_log_says_who_changed_and_deleted_what(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.enroll(image_id="a", camera_id="c")
        patch(service, "a", view="rear")
        service.client.delete("/gallery", params={"only_camera_id": "c"})
        service.client.put("/retention", params={"days": 30})
        log = service.app.state.settings.audit_path.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    by_action = {line["action"]: line for line in lines}
    assert {"change", "delete-by-filter", "set-retention"} <= set(by_action)
    assert by_action["change"]["image_hash"] == by_action["enroll"]["image_hash"]
    assert by_action["delete-by-filter"]["deleted"] == 1


def test_an_image_that_is_in_is_acknowledged_though_the_gallery_goes_away_at_once(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> list[str]:
        raise GalleryError("it is gone")

    monkeypatch.setattr(LocalGallery, "same_image", gone)
    enrolled = service.enroll(image_file(RED), image_id="a")
    assert (enrolled.status_code, "same_image" in enrolled.json()) == (201, False)
    files = {"images": ("x", image_file(RED))}
    [item] = service.client.post("/gallery/batch", files=files).json()["items"]
    assert item["status"] == 201
