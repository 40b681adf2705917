"""What is shipped, as a user meets it: over HTTP, with the real models, on vehicles new to them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle import DEFAULT_BUNDLE, Bundle
from models.manifest import BOTH_STAGES, FIRST_STAGE
from tests.end_to_end.conftest import DEMO, ROOT, DemoImage, Service, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(DEFAULT_BUNDLE)


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory, images: list[DemoImage]) -> Iterator[Service]:
    """A service whose gallery holds the demo's gallery."""
    with serving(tmp_path_factory.mktemp("end-to-end") / "data") as service:
        for image in images:
            if image.role == "gallery":
                assert service.enroll(image).status_code == 201
        yield service


def test_the_bundle_is_lka_reid_with_a_reranker_in_at_most_50_mb(bundle: Bundle) -> None:
    network = bundle.manifest.network
    assert [(b["mixer"], b["loss"]) for b in network["branches"]] == [
        ("lka", "cross_entropy"), ("lka", "triplet"), ("hca", "cross_entropy"), ("hca", "triplet"),
    ]  # fmt: skip
    assert bundle.manifest.descriptor_dim == 8192
    assert bundle.manifest.reranker is not None
    assert bundle.manifest.reranker.candidates == 10
    assert sum(path.stat().st_size for path in bundle.path.iterdir()) <= 50_000_000


def test_no_demo_image_shows_a_vehicle_that_the_bundle_was_trained_on(
    bundle: Bundle, images: list[DemoImage]
) -> None:
    assert bundle.manifest.training is not None
    assert {image.vehicle_id for image in images} == set(bundle.manifest.training.held_out_vehicles)


@pytest.mark.parametrize(("rerank", "name"), [("false", FIRST_STAGE), ("true", BOTH_STAGES)])
def test_the_accuracy_in_the_manifest_is_what_the_service_answers(
    enrolled: Service, bundle: Bundle, images: list[DemoImage], rerank: str, name: str
) -> None:
    probes = [image for image in images if image.role == "probe"]
    ranks = []
    for probe in probes:
        matches = enrolled.query(probe, top_k="100", rerank=rerank).json()["matches"]
        ranks.append([match["vehicle_id"] for match in matches].index(probe.vehicle_id) + 1)
    assert bundle.manifest.accuracy is not None
    (row,) = (row for row in bundle.manifest.accuracy.rows if row.name == name)
    stated = row.by_querying_camera[probes[0].camera_id]
    one_query = 100 / len(probes)
    for rank in (1, 5, 10):
        found = 100 * sum(r <= rank for r in ranks) / len(ranks)
        assert found == pytest.approx(stated.cmc[rank], abs=one_query + 0.1)
    assert 100 * sum(1 / r for r in ranks) / len(ranks) == pytest.approx(stated.mAP, abs=1.0)


def test_a_vehicle_that_is_not_enrolled_is_no_match_and_an_enrolled_one_is(
    tmp_path: Path, images: list[DemoImage], bundle: Bundle
) -> None:
    vehicles = sorted({image.vehicle_id for image in images})[::8]
    enrolled = vehicles[::2]
    probes = {image.vehicle_id: image for image in images if image.role == "probe"}
    assert bundle.manifest.threshold is not None
    with serving(tmp_path / "data") as service:
        for image in images:
            if image.role == "gallery" and image.vehicle_id in enrolled:
                assert service.enroll(image).status_code == 201
        answers = {name: service.query(probes[name]).json()["matches"] for name in vehicles}
        url = str(service.client.base_url)
        stranger = next(name for name in vehicles if name not in enrolled)
        said = subprocess.run(
            [sys.executable, "-m", "service.cli", "query", str(DEMO / probes[stranger].path), "--url", url],
            capture_output=True, text=True, check=True, cwd=ROOT,
        ).stdout  # fmt: skip
    known = [match["is_match"] for name in enrolled for match in answers[name] if match["vehicle_id"] == name]
    assert sum(known) >= len(known) - 1
    others = [
        match["is_match"] for name in vehicles for match in answers[name] if match["vehicle_id"] != name
    ]
    assert sum(others) <= 1
    assert not any(match["is_match"] for match in answers[stranger])
    assert re.search(r"no match: none of \d+ reaches the bundle's threshold", " ".join(said.split()))


def test_an_enrolled_image_finds_itself_with_similarity_1(enrolled: Service, images: list[DemoImage]) -> None:
    image = next(p for p in images if p.role == "gallery")
    best, second = enrolled.query(image).json()["matches"][:2]
    assert best["image_id"] == image.path
    assert best["similarity"] == pytest.approx(1, abs=1e-4)
    # A part attends a little to the others too, also in its own image; parts are kept in half precision.
    assert best["rerank_distance"] == pytest.approx(0, abs=0.06)
    assert best["rerank_distance"] < second["rerank_distance"] / 3


def test_the_second_stage_only_permutes_the_first_ten(enrolled: Service, images: list[DemoImage]) -> None:
    probe = next(p for p in images if p.role == "probe")
    first = enrolled.query(probe, top_k="30", rerank="false").json()["matches"]
    both = enrolled.query(probe, top_k="30").json()["matches"]
    names = [[match["image_id"] for match in matches] for matches in (first, both)]
    assert sorted(names[0][:10]) == sorted(names[1][:10])
    assert names[0][10:] == names[1][10:]
    assert [names[0][match["first_stage_rank"] - 1] for match in both] == names[1]
    assert [match["rerank_distance"] is None for match in both] == [False] * 10 + [True] * 20
    distances = [match["rerank_distance"] for match in both[:10]]
    assert distances == sorted(distances)


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, images: list[DemoImage]) -> None:
    kept = images[:3]
    with serving(tmp_path / "data") as service:
        assert all(service.enroll(image).status_code == 201 for image in kept)
        assert service.client.delete(f"/gallery/{kept[1].path}").status_code == 204
        service.kill()
    with serving(tmp_path / "data") as service:
        matches = service.query(kept[0]).json()["matches"]
        assert {match["image_id"] for match in matches} == {kept[0].path, kept[2].path}
        assert matches[0]["image_id"] == kept[0].path
        image = service.client.get(f"/gallery/{kept[0].path}/image")
        assert image.content == kept[0].data()
        again = service.enroll(kept[0])
        assert again.status_code == 409
        assert again.headers["content-type"] == "application/problem+json"


def test_an_empty_gallery_answers_an_empty_list(tmp_path: Path, images: list[DemoImage]) -> None:
    with serving(tmp_path / "data") as service:
        answer = service.query(images[0]).json()
    assert answer["matches"] == []
    assert set(answer["timings_ms"]) == {"decode", "queue", "embed", "search", "rerank", "total"}
