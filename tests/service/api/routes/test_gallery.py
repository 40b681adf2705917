"""/gallery: enroll, list, look at, delete."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import numpy as np
import pytest

from index import Enrollment
from service.api.cursor import cursor_of
from tests.index.disks import Room
from tests.service.api.test_problems import check
from tests.service.fakes import DIM, FINGERPRINT, GREEN, RED, Running, image_file


def test_an_enrolled_image_is_answered_whole(service: Running) -> None:
    response = service.enroll(
        image_file(RED, "JPEG"),
        image_id="cam 3/n\u00fcmber#1?.jpg",
        vehicle_id="bus_0001",
        camera_id="cam3",
        captured_at="2024-05-17T08:30:00+02:00",
        view="front",
        vehicle_type="bus",
        tags=["night", "rain"],
    )
    assert response.status_code == 201
    record = response.json()
    assert record.pop("enrolled_at").endswith("Z")
    assert record == {
        "image_id": "cam 3/n\u00fcmber#1?.jpg",
        "vehicle_id": "bus_0001",
        "camera_id": "cam3",
        "captured_at": "2024-05-17T06:30:00Z",
        "view": "front",
        "vehicle_type": "bus",
        "tags": ["night", "rain"],
        "fingerprint": FINGERPRINT,
        "media_type": "image/jpeg",
    }
    location = response.headers["Location"]
    assert location == "/gallery/" + quote("cam 3/n\u00fcmber#1?.jpg")
    assert service.client.get(location).json() == response.json()


def test_ids_are_made_up_and_sort_by_time(service: Running) -> None:
    ids = []
    for _ in range(3):
        ids.append(service.enroll().json()["image_id"])
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", it) for it in ids
    )


def test_empty_fields_count_as_not_given(service: Running) -> None:
    record = service.enroll(vehicle_id="", captured_at="", image_id="").json()
    assert (record["vehicle_id"], record["captured_at"]) == (None, None)
    assert record["image_id"]


@pytest.mark.parametrize(
    ("sent", "kept"), [(["a", ""], ["a"]), (["", ""], []), ([""], []), (["", "b"], ["b"])]
)
def test_empty_tags_count_as_not_given(service: Running, sent: list[str], kept: list[str]) -> None:
    assert service.enroll(tags=sent).json()["tags"] == kept


def test_the_same_id_again_is_refused_before_it_costs_anything(service: Running) -> None:
    service.enroll(image_file(RED), image_id="a", vehicle_id="first")
    batches = len(service.models.embedder.batches)
    response = service.enroll(image_file(GREEN), image_id="a", vehicle_id="second")
    assert response.status_code == 409
    assert response.json()["type"] == "urn:lka-reid:problem:duplicate-image"
    assert len(service.models.embedder.batches) == batches
    assert service.client.get("/gallery/a").json()["vehicle_id"] == "first"
    assert service.gallery.count() == 1


ENROLLED = {
    "image_id": "a",
    "vehicle_id": "bus 9",
    "captured_at": "2024-05-17T08:30:00+02:00",
    "tags": ["night", "rain"],
}


@pytest.mark.parametrize(
    ("sent", "differs"),
    [
        (ENROLLED, []),
        ({"image_id": "a"}, []),
        ({**ENROLLED, "captured_at": "2024-05-17T06:30:00Z"}, []),
        ({**ENROLLED, "vehicle_id": "bus 8", "camera_id": "gate 3"}, ["vehicle_id", "camera_id"]),
        ({**ENROLLED, "captured_at": "2024-05-17T08:30:01+02:00"}, ["captured_at"]),
        ({**ENROLLED, "tags": ["night"]}, ["tags"]),
    ],
)
def test_an_id_that_is_enrolled_is_answered_with_what_differs(
    service: Running, sent: dict[str, object], differs: list[str]
) -> None:
    assert service.enroll(image_file(RED), **ENROLLED).status_code == 201
    for image, named in ((image_file(RED), differs), (image_file(GREEN), ["image", *differs])):
        problem = service.enroll(image, **sent).json()
        assert (problem["status"], problem["differs"]) == (409, named)
        assert all(name in problem["detail"] for name in named)


def test_the_same_id_enrolled_meanwhile_is_refused_by_the_gallery(service: Running) -> None:
    def overtake(_images: object) -> None:
        service.gallery.enroll(
            Enrollment(
                image_id="a",
                vehicle_id="first",
                descriptor=np.eye(1, DIM, dtype=np.float32)[0],
                strips=None,
                image=b"x",
                media_type="image/png",
            )
        )

    service.models.embedder.on_embed = overtake
    response = service.enroll(image_id="a", vehicle_id="second")
    assert response.status_code == 409
    assert response.json()["type"] == "urn:lka-reid:problem:duplicate-image"
    assert response.json()["differs"] == ["image", "vehicle_id"]
    assert service.client.get("/gallery/a").json()["vehicle_id"] == "first"


def test_an_image_comes_back_byte_for_byte_with_its_type(service: Running) -> None:
    for kind, media_type in {
        "JPEG": "image/jpeg",
        "PNG": "image/png",
        "WEBP": "image/webp",
        "BMP": "image/bmp",
        "GIF": "image/gif",
        "TIFF": "image/tiff",
        "AVIF": "image/avif",
    }.items():
        data = image_file(GREEN, kind)
        assert service.enroll(data, image_id=f"a/{kind}").status_code == 201
        response = service.client.get(f"/gallery/a/{kind}/image")
        assert response.content == data
        assert response.headers["Content-Type"] == media_type
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_deleted_image_is_gone_and_its_id_is_free(service: Running) -> None:
    service.enroll(image_id="a/b.png")
    assert service.client.delete("/gallery/a/b.png").status_code == 204
    for response in (
        service.client.get("/gallery/a/b.png"),
        service.client.get("/gallery/a/b.png/image"),
        service.client.delete("/gallery/a/b.png"),
    ):
        assert response.status_code == 404
        assert response.json()["type"] == "urn:lka-reid:problem:unknown-image"
    assert service.query().json()["matches"] == []
    assert service.enroll(image_id="a/b.png").status_code == 201


def test_pages_follow_each_other_to_the_end(service: Running) -> None:
    for number in range(5):
        service.enroll(image_id=str(number))
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = service.client.get("/gallery", params={"limit": 2, **after}).json()
        seen += [record["image_id"] for record in page["records"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == ["0", "1", "2", "3", "4"]


def test_a_cursor_is_of_its_list_alone_and_nothing_that_was_made_up(shared_service: Running) -> None:
    cursor = cursor_of("gallery", 7)
    assert cursor is not None
    assert shared_service.client.get("/gallery", params={"after": cursor}).status_code == 200
    other = "A" if cursor[-1] != "A" else "B"
    made_up = [
        "7",
        "0",
        str(2**63),
        cursor[:-1] + other,
        cursor[:-1],
        cursor + "=",
        cursor + " ",
        "A" * 16,
        "",
    ]
    for wrong in [*made_up, str(cursor_of("verdicts", 7)), str(cursor_of("alerts", 7))]:
        response = shared_service.client.get("/gallery", params={"after": wrong})
        check(response, 422, "invalid-fields", "after")
        assert "send `next` of its last page" in response.json()["errors"][0]["message"]
    check(shared_service.client.get("/verdicts", params={"after": cursor}), 422, "invalid-fields", "after")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"after": "x"}, "after"),
    ],
)
def test_a_wrong_page_is_named(shared_service: Running, params: dict[str, int], field: str) -> None:
    response = shared_service.client.get("/gallery", params=params)
    assert response.status_code == 422
    assert [fault["field"] for fault in response.json()["errors"]] == [field]


@pytest.mark.parametrize("path", ["a%00b", "a//b", "..%2Fa", "a/", "%20a", "x" * 513])
def test_an_illegal_id_in_the_path_is_named(shared_service: Running, path: str) -> None:
    response = shared_service.client.get("/gallery/" + path)
    assert response.status_code == 422
    assert [fault["field"] for fault in response.json()["errors"]] == ["image_id"]


def test_on_a_full_disk_enrolling_says_so_and_all_else_goes_on(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.enroll(image_id="a").status_code == 201
    room = Room(monkeypatch)
    room.free = 1000
    refused = service.enroll(image_id="b")
    assert refused.status_code == 507
    assert refused.json()["type"] == "urn:lka-reid:problem:disk-full"
    assert "1,000 bytes are free" in refused.json()["detail"]
    ready = service.client.get("/health/ready")
    assert ready.status_code == 503
    assert "the disk is full" in ready.json()["detail"]
    assert service.query().status_code == 200
    assert service.client.get("/gallery/a/image").status_code == 200
    assert service.client.delete("/gallery/a").status_code == 204
    room.free = room.total
    assert service.client.get("/health/ready").status_code == 200
    assert service.enroll(image_id="b").status_code == 201


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "image/png\r\nX-More: 1", "ü"])
def test_a_file_that_is_no_image_by_its_record_is_served_as_bytes(service: Running, kind: str) -> None:
    """A gallery may have been brought from elsewhere."""
    descriptor = np.eye(1, DIM, dtype=np.float32)[0]
    service.gallery.enroll(
        Enrollment(image_id="a", descriptor=descriptor, strips=None, image=b"<script>", media_type=kind)
    )
    answer = service.client.get("/gallery/a/image")
    assert (answer.status_code, answer.content) == (200, b"<script>")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert "X-More" not in answer.headers


@pytest.mark.parametrize("end", ["%0A", "%0Ab", "%0D%0A"])
def test_an_id_with_a_line_break_is_refused_and_taken_for_no_other(service: Running, end: str) -> None:
    service.enroll(image_id="a", camera_id="a")
    for method, path, field in (
        ("DELETE", "gallery/a", "image_id"),
        ("GET", "gallery/a", "image_id"),
        ("PATCH", "gallery/a", "image_id"),
        ("GET", "cameras/a", "camera_id"),
        ("DELETE", f"verdicts/{'0' * 64}/a", "image_id"),
    ):
        form = {"view": (None, b"rear")} if method == "PATCH" else None
        answer = service.client.request(method, f"/{path}{end}", files=form)
        check(answer, 422, "invalid-fields", field)
    record = service.client.get("/gallery/a").json()
    assert (record["image_id"], record["view"]) == ("a", None)
