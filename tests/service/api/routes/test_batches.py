"""POST /gallery/batch and POST /query/batch: as the routes for one image, each item by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from index import LocalGallery
from tests.service.access.holders import guarded
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, running

NO_IMAGE = b"no image"


def images(*colours: tuple[int, int, int]) -> list[bytes]:
    return [image_file(colour) for colour in colours]


def send(
    service: Running, path: str, files: Sequence[bytes], items: Any = None, **fields: Any
) -> httpx.Response:
    data = fields | (
        {} if items is None else {"items": items if isinstance(items, str) else json.dumps(items)}
    )
    return service.client.post(path, files=[("images", ("x", file)) for file in files], data=data)


def enroll(service: Running, files: Sequence[bytes], items: Any = None) -> httpx.Response:
    return send(service, "/gallery/batch", files, items)


def statuses(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [item["status"] for item in response.json()["items"]]


def ids(*names: str) -> list[dict[str, str]]:
    return [{"image_id": name} for name in names]


@pytest.mark.slow
def test_a_batch_is_enrolled_as_its_images_would_be_one_by_one(service: Running, tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {"image_id": "a", "vehicle_id": "v", "camera_id": "c", "tags": ["night", ""]},
        {"image_id": "b", "captured_at": "2024-05-17T08:30:00+02:00", "view": "front"},
    ]
    answer = enroll(service, images(RED, GREEN), items)
    assert statuses(answer) == [201, 201]
    assert answer.json()["enrolled"] == 2
    with running(tmp_path / "single") as other:
        for colour, item in zip((RED, GREEN), items, strict=True):
            alone = other.enroll(image_file(colour), **item)
            assert alone.status_code == 201
            [together] = [
                each["record"]
                for each in answer.json()["items"]
                if each["record"]["image_id"] == item["image_id"]
            ]
            differing = {name for name, value in alone.json().items() if together[name] != value}
            assert differing == {"enrolled_at"}
            assert other.gallery.image(str(item["image_id"])) == service.gallery.image(str(item["image_id"]))


def test_all_of_a_batch_is_one_transaction(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    enroll_many = LocalGallery.enroll_many

    def counted(gallery: LocalGallery, enrollments: Any) -> Any:
        made.append(len(enrollments))
        return enroll_many(gallery, enrollments)

    monkeypatch.setattr(LocalGallery, "enroll_many", counted)
    assert statuses(enroll(service, images(*[(n, 0, 0) for n in range(20)]))) == [201] * 20
    assert made == [20]
    assert service.gallery.count() == 20


def test_a_bad_item_harms_no_other(service: Running) -> None:
    service.enroll(image_file(BLUE), image_id="there")
    files = [image_file(RED), NO_IMAGE, image_file(GREEN), image_file(BLUE)]
    answer = enroll(service, files, ids("a", "b", "there", "d"))
    assert statuses(answer) == [201, 422, 409, 201]
    problems = [item["problem"] for item in answer.json()["items"]]
    assert problems[0] is None
    assert problems[1]["type"] == "urn:lka-reid:problem:not-an-image"
    assert problems[2]["type"] == "urn:lka-reid:problem:duplicate-image"
    assert problems[2]["differs"] == ["image"]
    assert {record.image_id for record in service.gallery.page().records} == {"there", "a", "d"}


def test_a_batch_that_is_sent_again_changes_nothing(service: Running) -> None:
    files, items = images(RED, GREEN), ids("a", "b")
    assert statuses(enroll(service, files, items)) == [201, 201]
    again = enroll(service, files, items)
    assert statuses(again) == [409, 409]
    assert [item["problem"]["differs"] for item in again.json()["items"]] == [[], []]
    assert again.json()["enrolled"] == 0
    assert service.gallery.count() == 2


def test_an_id_that_stands_in_a_batch_twice_is_its_first_image_s(service: Running) -> None:
    answer = enroll(service, images(RED, GREEN, RED), ids("a", "a", "a"))
    assert statuses(answer) == [201, 409, 409]
    assert [item["problem"]["differs"] for item in answer.json()["items"][1:]] == [["image"], []]
    bad = enroll(service, [NO_IMAGE, image_file(GREEN)], ids("b", "b"))
    assert statuses(bad) == [422, 422]
    assert service.gallery.count() == 1


def test_the_same_bytes_under_other_ids_are_named(service: Running) -> None:
    service.enroll(image_file(RED), image_id="before")
    answer = enroll(service, images(RED, GREEN, RED), ids("a", "b", "c"))
    records = [item["record"] for item in answer.json()["items"]]
    assert records[0]["same_image"] == ["before", "c"]
    assert "same_image" not in records[1]
    assert records[2]["same_image"] == ["before", "a"]


def test_an_id_that_another_request_takes_meanwhile_is_that_item_s_alone(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll_many = LocalGallery.enroll_many

    def first_another(gallery: LocalGallery, enrollments: Any) -> Any:
        monkeypatch.setattr(LocalGallery, "enroll_many", enroll_many)
        gallery.enroll(replace(enrollments[0], image=b"other", vehicle_id="w"))
        return enroll_many(gallery, enrollments)

    monkeypatch.setattr(LocalGallery, "enroll_many", first_another)
    answer = enroll(service, images(RED, GREEN), ids("a", "b"))
    assert statuses(answer) == [409, 201]
    assert answer.json()["items"][0]["problem"]["differs"] == ["image"]


def test_probes_are_answered_as_they_would_be_one_by_one(service: Running) -> None:
    enroll(service, images(RED, GREEN, BLUE), ids("red", "green", "blue"))
    files = [image_file(GREEN), NO_IMAGE, image_file(BLUE)]
    answer = send(service, "/query/batch", files, [{"camera_id": "c"}, {}, {}], top_k=2)
    assert statuses(answer) == [200, 422, 200]
    assert answer.json()["answered"] == 2
    for place, camera in ((0, {"camera_id": "c"}), (2, {})):
        alone = service.query(files[place], top_k=2, **camera).json()
        together = answer.json()["items"][place]["answer"]
        for one in (alone, together):
            del one["timings_ms"]
        assert together == alone
    assert answer.json()["items"][1]["problem"]["type"] == "urn:lka-reid:problem:not-an-image"


def test_verdicts_count_for_their_probe_in_a_batch_as_alone(service: Running) -> None:
    colours = [(8 * n, 255 - 8 * n, 128) for n in range(20)]
    enroll(service, images(*colours), ids(*(str(n) for n in range(20))))
    files = images(colours[3], colours[12], (1, 2, 3))
    for place, image_id, verdict in (
        (0, 3, "different"),
        (0, 9, "same"),
        (0, 4, "different"),
        (1, 15, "same"),
    ):
        fields = {"image_id": str(image_id), "verdict": verdict}
        assert service.client.post("/verdicts", files={"image": ("x", files[place])}, data=fields).is_success
    for top_k in (1, 12):
        for rerank in (True, False):
            answer = send(service, "/query/batch", files, top_k=top_k, rerank=rerank)
            for file, item in zip(files, answer.json()["items"], strict=True):
                alone = service.query(file, top_k=top_k, rerank=rerank).json()
                del alone["timings_ms"], item["answer"]["timings_ms"]
                assert item["answer"] == alone


def test_more_probes_than_share_a_search_or_a_forward_pass_are_answered(service: Running) -> None:
    colours = [(n, 255 - n, 128) for n in range(0, 70)]
    enroll(service, images(*colours), ids(*(str(n) for n in range(70))))
    answer = send(service, "/query/batch", images(*colours), top_k=1)
    found = [item["answer"]["matches"][0]["image_id"] for item in answer.json()["items"]]
    singly = [service.query(file, top_k=1).json()["matches"][0]["image_id"] for file in images(*colours[:5])]
    assert found[:5] == singly
    assert len(found) == 70
    plain = send(service, "/query/batch", images(RED), rerank=False)
    assert plain.json()["items"][0]["answer"]["reranked"] is False


@pytest.mark.parametrize(
    ("items", "field", "message"),
    [
        ("[", "items", "json"),
        ('{"a": 1}', "items", "valid array"),
        ("[{}]", "items", "has 1 objects for 2 images"),
        ("[{}, {}, {}]", "items", "has more than 2 objects for 2 images"),
        # Each that is wrong would cost time and memory.
        (f"[{'1,' * 400_000}1]", "items", "has more than 2 objects for 2 images"),
        (
            '[{}, {"vehicle": "x"}]',
            "items.1.vehicle",
            "is not a field of an item; it takes image_id, vehicle_id",
        ),
        ('[{"image_id": "/"}, {}]', "items.0.image_id", "is not a legal image id"),
        ('[{}, {"captured_at": "yesterday"}]', "items.1.captured_at", "is not a time"),
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_is_enrolled(
    shared_service: Running, items: str, field: str, message: str
) -> None:
    answer = enroll(shared_service, images(RED, GREEN), items)
    assert answer.status_code == 422
    [fault] = [fault for fault in answer.json()["errors"] if fault["field"] == field]
    assert message in fault["message"].lower()
    assert shared_service.gallery.count() == 0


def test_a_batch_has_bounds(shared_service: Running) -> None:
    none = shared_service.client.post("/gallery/batch", files={"x": ("x", b"x")})
    assert none.status_code == 422
    many = enroll(shared_service, [NO_IMAGE] * 257)
    assert many.status_code == 422
    assert "256" in many.text
    text = shared_service.client.post(
        "/gallery/batch", files=[("images", (None, "text")), ("images", ("x", image_file()))]
    )
    assert text.status_code == 422
    assert "is text; send it as a file part" in text.text
    unknown = send(shared_service, "/gallery/batch", images(RED), vehicle_id="v")
    assert unknown.status_code == 422
    assert "is not a field of this form; it takes images, items" in unknown.text


def test_a_batch_may_be_larger_than_an_image_and_none_of_its_images_may(tmp_path: Path) -> None:
    large, small = image_file(kind="BMP"), image_file(kind="PNG")
    with running(tmp_path, max_upload_bytes=2000, max_batch_bytes=400_000) as service:
        assert len(small) < 2000 < len(large)
        assert statuses(enroll(service, [small, large] + [small] * 100)) == [201, 413] + [201] * 100
        whole = enroll(service, [large] * 150)
        assert whole.status_code == 413
        assert whole.json()["type"] == "urn:lka-reid:problem:upload-too-large"


@pytest.mark.slow
def test_what_is_embedded_by_the_deadline_is_enrolled(tmp_path: Path) -> None:
    embedded = iter(range(12))
    with running(tmp_path, batch_deadline_s=3, max_batch=1) as service:
        # Some at once, and one that takes longer than there is time.
        service.models.embedder.on_embed = lambda _images: time.sleep(0 if next(embedded) < 3 else 4)
        answer = enroll(service, images(*[(n, 0, 0) for n in range(12)]))
        found = statuses(answer)
        assert set(found) == {201, 504}
        assert service.gallery.count() == found.count(201) == answer.json()["enrolled"]


def test_a_batch_leaves_places_to_single_images(tmp_path: Path) -> None:
    with running(tmp_path, max_batch=2, max_queue=2) as service:
        assert statuses(enroll(service, images(*[(n, 0, 0) for n in range(40)]))) == [201] * 40


def test_scopes_and_the_audit_log_are_those_of_the_single_routes(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:

        def post(path: str, scope: str, items: Any = None) -> httpx.Response:
            data = {} if items is None else {"items": json.dumps(items)}
            files = [("images", ("x", image_file(RED))), ("images", ("x", NO_IMAGE))]
            return it.service.client.post(path, files=files, data=data, headers=it.headers(scope))

        assert post("/gallery/batch", "query").status_code == 403
        assert post("/query/batch", "enroll").status_code == 403
        assert statuses(post("/gallery/batch", "enroll", ids("a", "b"))) == [201, 422]
        assert statuses(post("/query/batch", "query")) == [200, 422]
        log = (tmp_path / "audit.jsonl").read_text().splitlines()
        lines = [json.loads(line) for line in log]
    shown = [(line["action"], line["status"], line.get("images"), "image_hash" in line) for line in lines[2:]]
    assert shown == [
        ("enroll-batch", 200, 2, False),
        ("enroll", 201, None, True),
        ("enroll", 422, None, True),
        ("query-batch", 200, 2, False),
        ("query", 200, None, False),
        ("query", 422, None, False),
    ]
    assert lines[6]["match_hashes"] == [lines[3]["image_hash"]]
    assert len({line["request_id"] for line in lines[2:5]}) == 1


def test_items_that_fail_are_counted_by_kind(service: Running) -> None:
    enroll(service, [NO_IMAGE, image_file(RED)])
    text = service.client.get("/metrics").text
    assert 'lka_reid_stage_seconds_count{stage="embed"} 1.0' in text
    assert 'lka_reid_stage_seconds_count{stage="total"} 0.0' in text
    assert 'lka_reid_rejected_total{reason="not-an-image"} 1.0' in text
    assert 'lka_reid_requests_total{method="POST",route="/gallery/batch",status="200"} 1.0' in text


def test_a_batch_s_filter_says_which_images_are_searched(service: Running) -> None:
    enroll(
        service,
        images(RED, GREEN),
        [{"image_id": "a", "camera_id": "1"}, {"image_id": "b", "camera_id": "2"}],
    )
    answer = send(service, "/query/batch", images(RED, GREEN), only_camera_id="2")
    for item in answer.json()["items"]:
        assert [match["image_id"] for match in item["answer"]["matches"]] == ["b"]
