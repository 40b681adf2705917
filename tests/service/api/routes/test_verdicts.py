"""What people decide of a probe and its matches sticks, is respected for the same file, and can be undone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.access.holders import guarded
from tests.service.api.test_problems import check
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, running

PROBE = image_file(RED)
DIGEST = hashlib.sha256(PROBE).hexdigest()
COLOURS = {"a": RED, "b": (200, 40, 40), "c": (150, 60, 30), "d": GREEN, "e": BLUE}


@pytest.fixture
def enrolled(service: Running) -> Running:
    for image_id, colour in COLOURS.items():
        assert service.enroll(image_file(colour), image_id=image_id).status_code == 201
    return service


def decide(
    service: Running, image_id: str, verdict: str, probe: bytes = PROBE, **more: Any
) -> httpx.Response:
    fields = {"image_id": image_id, "verdict": verdict, **more}
    return service.client.post("/verdicts", files={"image": ("x", probe)}, data=fields)


def ranking(service: Running, probe: bytes = PROBE, **fields: Any) -> list[str]:
    answer = service.query(probe, **fields).json()
    assert [match["rank"] for match in answer["matches"]] == list(range(1, len(answer["matches"]) + 1))
    return [match["image_id"] for match in answer["matches"]]


def test_an_image_of_another_vehicle_is_left_out_for_this_file_and_for_no_other(enrolled: Running) -> None:
    assert ranking(enrolled, top_k=3) == ["a", "b", "c"]
    given = decide(enrolled, "a", "different").json()
    assert (given["probe"], given["image_id"], given["verdict"]) == (DIGEST, "a", "different")
    for rerank in (True, False):
        assert ranking(enrolled, top_k=3, rerank=rerank) == ["b", "c", ranking(enrolled, rerank=rerank)[2]]
    answer = enrolled.query(PROBE, top_k=3).json()
    assert answer["probe"] == DIGEST
    assert [verdict["image_id"] for verdict in answer["verdicts"]] == ["a"]
    assert [match["first_stage_rank"] for match in answer["matches"]] == [1, 2, 3]
    assert ranking(enrolled, top_k=3, verdicts=False)[0] == "a"
    assert enrolled.query(PROBE, verdicts=False).json()["verdicts"] == []
    assert ranking(enrolled, image_file(RED, kind="BMP"), top_k=1) == ["a"]


def test_as_many_matches_are_answered_however_many_are_left_out(enrolled: Running) -> None:
    assert enrolled.models.reranker is not None
    for image_id in ("a", "b"):
        decide(enrolled, image_id, "different")
    enrolled.models.reranker.calls.clear()
    assert len(ranking(enrolled, top_k=3)) == 3
    assert enrolled.models.reranker.calls == [3], "of what is left, and of nothing else"


def test_an_image_of_the_same_vehicle_comes_first_and_says_so(enrolled: Running) -> None:
    decide(enrolled, "d", "same")
    matches = enrolled.query(PROBE).json()["matches"]
    assert [(match["image_id"], match["verdict"]) for match in matches[:2]] == [("d", "same"), ("a", None)]
    assert matches[0]["first_stage_rank"] > 1


@pytest.mark.slow
def test_a_verdict_is_changed_undone_and_outlives_the_service(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        for image_id in "ab":
            service.enroll(image_file(COLOURS[image_id]), image_id=image_id)
        decide(service, "a", "same", camera_id="gate")
        decide(service, "a", "different")
    with running(tmp_path) as service:
        assert ranking(service) == ["b"]
        [verdict] = service.client.get(f"/verdicts/{DIGEST}").json()["verdicts"]
        assert (verdict["verdict"], verdict["camera_id"], verdict["decided_by"]) == (
            "different",
            "gate",
            None,
        )
        assert service.client.get(f"/verdicts/{DIGEST}/image").content == PROBE
        assert service.client.delete(f"/verdicts/{DIGEST}/a").status_code == 204
        assert ranking(service) == ["a", "b"]
        check(service.client.delete(f"/verdicts/{DIGEST}/a"), 404, "unknown-verdict")
        check(service.client.get(f"/verdicts/{DIGEST}/image"), 404, "unknown-verdict")
        assert service.client.get(f"/verdicts/{DIGEST}").json() == {"verdicts": [], "next": None}


def test_of_a_frame_what_the_box_cuts_out_is_the_probe(enrolled: Running) -> None:
    frame = image_file(RED)
    box = "2,2,20,10"
    asked = enrolled.query(frame, box=box).json()
    given = decide(enrolled, asked["matches"][0]["image_id"], "different", frame, box=box).json()
    assert given["probe"] == asked["probe"] != hashlib.sha256(frame).hexdigest()
    assert asked["matches"][0]["image_id"] not in ranking(enrolled, frame, box=box)
    assert asked["matches"][0]["image_id"] in ranking(enrolled, frame)
    assert enrolled.client.get(f"/verdicts/{given['probe']}/image").content != frame
    check(decide(enrolled, "b", "same", frame, box="1,2"), 422, "invalid-fields", "box")


def test_it_goes_when_the_image_is_deleted(enrolled: Running) -> None:
    decide(enrolled, "a", "different")
    enrolled.client.delete("/gallery/a")
    enrolled.enroll(image_file(RED), image_id="a")
    assert ranking(enrolled)[0] == "a"
    check(enrolled.client.get(f"/verdicts/{DIGEST}/image"), 404, "unknown-verdict")


def test_all_of_them_are_listed_page_by_page(enrolled: Running) -> None:
    for image_id in "abc":
        decide(enrolled, image_id, "same")
    first = enrolled.client.get("/verdicts?limit=2").json()
    second = enrolled.client.get("/verdicts", params={"after": first["next"]}).json()
    assert [verdict["image_id"] for verdict in first["verdicts"] + second["verdicts"]] == list("abc")
    assert second["next"] is None


@pytest.mark.parametrize(
    ("image_id", "verdict", "probe", "status", "kind", "fields"),
    [
        ("none", "same", PROBE, 404, "unknown-image", ()),
        ("a", "perhaps", PROBE, 422, "invalid-fields", ("verdict",)),
        ("a", "same", b"no image", 422, "not-an-image", ("image",)),
        ("", "same", PROBE, 422, "invalid-fields", ("image_id",)),
    ],
)
def test_what_cannot_be_decided_is_refused_and_nothing_kept(
    enrolled: Running,
    image_id: str,
    verdict: str,
    probe: bytes,
    status: int,
    kind: str,
    fields: tuple[str, ...],
) -> None:
    check(decide(enrolled, image_id, verdict, probe), status, kind, *fields)
    assert enrolled.client.get("/verdicts").json()["verdicts"] == []


@pytest.mark.parametrize("probe", ["x", "0" * 63, "0" * 65, DIGEST.upper()])
def test_what_names_no_probe_is_refused(shared_service: Running, probe: str) -> None:
    check(shared_service.client.get(f"/verdicts/{probe}"), 422, "invalid-fields", "probe")


def test_who_decided_is_kept(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        it.service.client.headers.update(it.headers("admin"))
        it.service.enroll(image_id="a")
        it.service.client.headers.update(it.headers("query"))
        [key] = [key for key in it.file.read() if key.name == "the query one"]
        assert decide(it.service, "a", "same").json()["decided_by"] == key.id


def test_more_verdicts_than_a_probe_may_have_are_refused(enrolled: Running, monkeypatch: Any) -> None:
    monkeypatch.setattr("index.verdicts.MOST", 1)
    assert decide(enrolled, "a", "different").status_code == 200
    problem = check(decide(enrolled, "b", "different"), 409, "too-many-verdicts")
    assert "has 1 verdicts" in problem["detail"]
    assert ranking(enrolled, top_k=1) == ["b"]
