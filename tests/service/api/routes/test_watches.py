"""/watches: what is looked for; an enrolled image that is alike raises an alert, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.watching.signature import new_secret
from tests.service.api.test_problems import check
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, running
from tests.service.watching.receiver import wait_for


def watch(service: Running, image: bytes | None = None, **fields: Any) -> httpx.Response:
    files = None if "image_id" in fields else {"image": ("x", image or image_file(RED))}
    data = {"threshold": "0.99", **fields}
    if files is None:
        return service.client.post("/watches", files={name: (None, value) for name, value in data.items()})
    return service.client.post("/watches", files=files, data=data)


def alerts(service: Running, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.client.get("/alerts", params=params).json()["alerts"]
    return found


def all_looked_at(service: Running) -> None:
    wait_for(lambda: service.gallery.watches.state().behind_since is None)


def test_an_image_that_is_alike_raises_an_alert_and_another_does_not(service: Running) -> None:
    service.enroll(image_file(RED), image_id="before")
    made = watch(service, name="a red one", camera_id="gate")
    assert made.status_code == 201
    watched = made.json()
    assert made.headers["Location"] == f"/watches/{watched['id']}"
    assert (watched["name"], watched["camera_id"], watched["threshold"]) == ("a red one", "gate", 0.99)
    assert service.client.get("/watches").json()["watches"] == [watched]
    service.enroll(image_file(GREEN), image_id="green")
    service.enroll(image_file(RED, "BMP"), image_id="red", camera_id="yard", view="rear")
    all_looked_at(service)
    [alert] = alerts(service)
    assert (alert["watch_id"], alert["watch_name"]) == (watched["id"], "a red one")
    assert (alert["image_id"], alert["camera_id"], alert["view"]) == ("red", "yard", "rear")
    assert alert["similarity"] >= alert["threshold"] == 0.99
    assert (alert["collection"], alert["delivery"]) == ("default", None)
    assert service.client.get(made.headers["Location"]).json()["alerts"] == 1
    assert service.client.get(f"/watches/{watched['id']}/image").content == image_file(RED)
    service.client.delete("/gallery/red")
    assert alerts(service) == []
    assert service.client.delete(made.headers["Location"]).status_code == 204
    check(service.client.get(made.headers["Location"]), 404, "unknown-watch")


@pytest.mark.slow
def test_an_enrolled_image_is_watched_for_in_its_cameras_and_its_collection(service: Running) -> None:
    service.client.post("/collections", files={"name": (None, "north")})
    service.client.post(
        "/gallery?collection=north", files={"image": ("x", image_file(BLUE))}, data={"image_id": "seen"}
    )
    made = service.client.post(
        "/v1/watches?collection=north",
        files=[("image_id", (None, "seen")), ("threshold", (None, "0.9"))]
        + [("only_camera_id", (None, camera)) for camera in ("gate", "yard")],
    )
    assert made.headers["Location"] == "/v1/watches/1?collection=north"
    assert made.json()["image_id"] == "seen"
    assert made.json()["only_camera_id"] == ["gate", "yard"]
    for image_id, camera_id, collection in (
        ("elsewhere", "gate", "default"),
        ("other camera", "road", "north"),
        ("here", "yard", "north"),
    ):
        service.client.post(
            f"/gallery?collection={collection}",
            files={"image": ("x", image_file(BLUE))},
            data={"image_id": image_id, "camera_id": camera_id},
        )
    wait_for(lambda: len(alerts(service, collection="north")) == 1)
    [alert] = alerts(service, collection="north")
    assert (alert["image_id"], alert["collection"]) == ("here", "north")
    assert alerts(service) == []
    assert service.client.get("/watches").json() == {"watches": []}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"image_id": "a", "camera_id": "gate"}, ("camera_id",)),
        ({"webhook": "https://hooks.example/"}, ("secret",)),
        ({"secret": new_secret()}, ("webhook",)),
        ({"webhook": "https://hooks.example/", "secret": "whsec_c2hvcnQ="}, ("secret",)),
        ({"webhook": "https://127.0.0.1/", "secret": new_secret()}, ("webhook",)),
        ({"webhook": "http://hooks.example/", "secret": new_secret()}, ("webhook",)),
        ({"webhook": "https://169.254.169.254/latest", "secret": new_secret()}, ("webhook",)),
        ({"threshold": "1.5"}, ("threshold",)),
        ({"threshold": "nan"}, ("threshold",)),
        ({"threshold": ""}, ("threshold",)),
        ({"other": "x"}, ("other",)),
    ],
)
def test_what_does_not_belong_together_is_refused_by_the_names_of_its_fields(
    shared_service: Running, fields: dict[str, Any], wrong: tuple[str, ...]
) -> None:
    answer = watch(shared_service, **fields)
    check(answer, 422, "invalid-fields", *wrong)
    assert "c2hvcnQ" not in answer.text
    assert shared_service.gallery.watches.all() == []


def test_a_watch_of_nothing_of_both_or_of_no_such_image_is_refused(shared_service: Running) -> None:
    neither = shared_service.client.post("/watches", files={"threshold": (None, "0.9")})
    both = shared_service.client.post(
        "/watches", files={"image": ("x", image_file())}, data={"image_id": "a"}
    )
    check(neither, 422, "invalid-fields", "image", "image_id")
    check(both, 422, "invalid-fields", "image", "image_id", "threshold")
    check(watch(shared_service, b"no image"), 422, "not-an-image", "image")
    check(watch(shared_service, image_id="no-such"), 404, "unknown-image")
    check(shared_service.client.delete("/watches/7"), 404, "unknown-watch")
    check(shared_service.client.post("/watches/7/test"), 404, "unknown-watch")


def test_a_watch_without_a_webhook_is_not_tested(service: Running) -> None:
    watch_id = watch(service).json()["id"]
    check(service.client.post(f"/watches/{watch_id}/test"), 409, "no-webhook")


def test_behind_a_prefix_the_paths_of_answers_begin_with_it(tmp_path: Path) -> None:
    with running(tmp_path, root_path="/reid") as service:
        for path in ("/watches", "/reid/watches"):
            made = service.client.post(
                path, files={"image": ("x", image_file(RED))}, data={"threshold": "0.9"}
            )
            assert made.headers["Location"] == f"/reid/watches/{made.json()['id']}"
            assert service.client.get(made.headers["Location"]).json() == made.json()
        with service.client.stream("GET", "/reid/alerts/events") as events:
            assert events.status_code == 200
        assert service.client.get("/reid/alerts/dead-letters").json() == {"alerts": [], "next": None}
        problem = check(service.client.get("/reid/watches/9"), 404, "unknown-watch")
        assert problem["instance"] == "/reid/watches/9"
