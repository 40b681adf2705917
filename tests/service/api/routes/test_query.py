"""POST /query: the answer's form, and where the time went. What the stages do is in test_search."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from models.manifest import Threshold
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, make_models, running


def test_an_empty_gallery_answers_an_empty_list(shared_service: Running) -> None:
    answer = shared_service.query().json()
    assert answer["matches"] == []
    assert answer["reranked"] is False
    assert answer["gallery_size"] == 0


def test_a_gallery_smaller_than_top_k_answers_all_it_has(service: Running) -> None:
    for name in "abc":
        service.enroll(image_id=name)
    answer = service.query(top_k=10).json()
    assert len(answer["matches"]) == 3
    assert answer["gallery_size"] == 3


def test_a_match_says_what_is_known_of_it(service: Running) -> None:
    service.enroll(
        image_file(GREEN),
        image_id="a/1.png",
        vehicle_id="v",
        camera_id="c",
        captured_at="2024-05-17T06:30:00Z",
        view="front",
        vehicle_type="bus",
    )
    [match] = service.query(image_file(GREEN)).json()["matches"]
    assert match.pop("similarity") == pytest.approx(1, abs=1e-5)
    assert match.pop("rerank_distance") == pytest.approx(0, abs=1e-5)
    assert match == {
        "rank": 1,
        "first_stage_rank": 1,
        "image_id": "a/1.png",
        "vehicle_id": "v",
        "camera_id": "c",
        "captured_at": "2024-05-17T06:30:00Z",
        "view": "front",
        "vehicle_type": "bus",
        "is_match": None,
        "verdict": None,
    }


def test_a_bundle_with_a_threshold_says_which_matches_reach_it(tmp_path: Path) -> None:
    models = make_models()
    threshold = Threshold(
        similarity=0.9,
        false_match_rate=0.01,
        false_match_interval=(0.005, 0.02),
        true_match_rate=0.8,
        measured_on="images",
        fingerprint=models.bundle.fingerprint,
    )
    manifest = models.bundle.manifest.model_copy(update={"threshold": threshold})
    models.bundle = replace(models.bundle, manifest=manifest)
    with running(tmp_path, models) as service:
        for colour in (RED, GREEN, BLUE):
            service.enroll(image_file(colour))
        matches = service.query(image_file(GREEN)).json()["matches"]
    assert [match["is_match"] for match in matches] == [match["similarity"] >= 0.9 for match in matches]
    assert {match["is_match"] for match in matches} == {True, False}


def test_the_total_holds_all_stages(service: Running) -> None:
    service.enroll()
    timings = service.query().json()["timings_ms"]
    assert list(timings) == ["decode", "queue", "embed", "search", "rerank", "total"]
    assert all(spent >= 0 for spent in timings.values())
    assert timings["total"] >= sum(timings.values()) - timings["total"]


def test_an_image_is_turned_upright_by_its_exif(service: Running) -> None:
    service.enroll(image_file(RED), image_id="upright")
    with Image.open(io.BytesIO(image_file(RED))) as image:
        lying = image.rotate(90, expand=True)
    exif = lying.getexif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    stream = io.BytesIO()
    lying.save(stream, "PNG", exif=exif)
    [match] = service.query(stream.getvalue()).json()["matches"]
    assert match["similarity"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1", "I;16", "RGBA"])
def test_other_kinds_of_images_are_decoded_or_refused_but_never_a_failure(
    shared_service: Running, mode: str
) -> None:
    with Image.open(io.BytesIO(image_file())) as image:
        converted = Image.new("I;16", (32, 32), 40000) if mode == "I;16" else image.convert(mode)
    stream = io.BytesIO()
    converted.save(stream, "JPEG" if mode == "CMYK" else "PNG")
    assert shared_service.query(stream.getvalue()).status_code in (200, 422)
