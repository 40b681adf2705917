"""POST /explain: figure and numbers, candidates of both kinds, and what is refused."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from index import LocalGallery
from lka_reid_client import Client
from models.bundle import Bundle
from service.access.idhash import FileIdHasher
from service.api.app import create_app
from service.api.routes.explain import _wants_json
from service.explanation.figure import Pair
from service.inference.request import Expired, Overloaded
from service.retrieval.explainer import PLACES, PairExplainer, Upload
from service.settings import Settings
from tests.index.statistics import calibrate_two
from tests.models.detection.scenes import FRAME, RED_CAR, file_of
from tests.models.explainable import SmallBundle
from tests.service.api.test_problems import check
from tests.service.fakes import BLUE, GREEN, RED, Running, decode_pool, image_file, serving, wait_until_ready

BYTES = 100_000


@dataclass
class Explaining:
    """A service on the small bundle, a client of it, and its audit log."""

    client: httpx.Client
    bundle: Bundle
    folder: Path

    def explain(
        self, candidate: bytes | None = None, *, json: bool = False, probe: bytes | None = None, **fields: Any
    ) -> httpx.Response:
        files = {"image": ("probe.png", image_file(RED) if probe is None else probe)}
        files |= {} if candidate is None else {"candidate_image": ("candidate.png", candidate)}
        headers = {"Accept": "application/json" if json else "image/png"}
        return self.client.post("/explain", files=files, data=fields, headers=headers)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, small_bundle: SmallBundle) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("explainable") / "bundle")


@pytest.fixture(scope="module")
def service(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explaining]:
    folder = tmp_path_factory.mktemp("data")
    settings = Settings(data_dir=folder, bundle=bundle.path, runtime="cpu", threads=1, max_upload_bytes=BYTES)
    with serving(create_app(settings)) as url, httpx.Client(base_url=url, timeout=30) as client:
        wait_until_ready(client)
        for name, colour in {"red": RED, "green": GREEN}.items():
            client.post("/gallery", files={"image": ("x", image_file(colour))}, data={"image_id": name})
        yield Explaining(client, bundle, folder)


def opened(response: httpx.Response) -> Image.Image:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "image/png"
    return Image.open(io.BytesIO(response.content))


@pytest.mark.slow
def test_the_setting_off_hides_no_normalised_similarity(bundle: Bundle, tmp_path: Path) -> None:
    manifest = bundle.manifest
    settings = Settings(
        data_dir=tmp_path, bundle=bundle.path, runtime="cpu", threads=1, camera_normalisation="off"
    )
    with LocalGallery.open(
        tmp_path / "gallery",
        fingerprint=bundle.fingerprint,
        descriptor_dim=manifest.descriptor_dim,
        strips_shape=manifest.strips,
        normalisation="on",
    ) as gallery:
        app = create_app(settings, gallery=gallery)
        with serving(app) as url, httpx.Client(base_url=url, timeout=30) as client:
            wait_until_ready(client)
            service = Explaining(client, bundle, tmp_path)
            raw = service.explain(image_file(GREEN), json=True, camera_id="a").json()
            assert "normalisation" not in raw
            calibrate_two(gallery, manifest.descriptor_dim)
            version = gallery.cameras.normalisation().version
            answer = service.explain(image_file(GREEN), json=True, camera_id="a").json()
            assert answer["normalisation"] == {"mode": "off", "version": version, "camera": "known"}
            assert answer["similarity"] != raw["similarity"]


def test_the_answer_is_a_figure_that_changes_with_the_candidate(service: Explaining) -> None:
    one, other = (opened(service.explain(image_file(colour))) for colour in (GREEN, BLUE))
    assert one.size == other.size
    assert one.width > 1000
    assert one.convert("RGB").tobytes() != other.convert("RGB").tobytes()


def test_an_enrolled_candidate_is_the_same_as_its_file(service: Explaining) -> None:
    enrolled = service.explain(candidate_id="green", json=True).json()
    sent = service.explain(image_file(GREEN), json=True).json()
    assert enrolled == sent
    drawn = opened(service.explain(candidate_id="green")), opened(service.explain(image_file(GREEN)))
    assert drawn[0].size == drawn[1].size


def test_the_numbers_are_those_of_the_query(service: Explaining) -> None:
    query = service.client.post("/query", files={"image": ("x", image_file(RED))}).json()
    match = next(match for match in query["matches"] if match["image_id"] == "green")
    answer = service.explain(candidate_id="green", json=True).json()
    assert answer["similarity"] == pytest.approx(match["similarity"], abs=1e-4)
    assert answer["rerank_distance"] == pytest.approx(match["rerank_distance"], abs=1e-4)
    assert answer["rerank_distance"] == pytest.approx(answer["strips_part"] + answer["similarity_part"])
    assert (answer["bundle"], answer["fingerprint"]) == ("small", service.bundle.fingerprint)
    assert (answer["branches"], answer["bands"], answer["is_match"]) == (["L1", "L2", "H1", "H2"], 2, None)
    assert np.mean(answer["strip_distances"]) == pytest.approx(answer["strips_part"], abs=1e-5)
    for attention in answer["attention"].values():
        assert np.array(attention).shape == (8, 8)
        np.testing.assert_allclose(np.sum(attention, axis=1), 1, atol=1e-4)
    for maps in answer["activations"].values():
        assert np.array(maps).shape == (4, 4, 4)


def test_an_image_is_at_no_distance_from_itself(service: Explaining) -> None:
    answer = service.explain(candidate_id="red", json=True).json()
    assert answer["similarity"] == pytest.approx(1, abs=1e-4)
    assert np.abs(answer["strip_distances"]).max() == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(answer["attention"]["probe"], answer["attention"]["candidate"], atol=1e-5)


@pytest.mark.parametrize(
    ("accept", "as_json"),
    [
        ("", False),
        ("*/*", False),
        ("image/png", False),
        ("application/json", True),
        ("application/*", True),
        ("application/json, image/png", False),
        ("application/json, image/png;q=0.5", True),
        ("application/json;q=0.5, */*;q=0.8", False),
        ("application/json, */*;q=0.1", True),
        ("APPLICATION/JSON ; Q=1", True),
        ("application/json;q=none", False),
    ],
)
def test_the_header_accept_decides(accept: str, as_json: bool) -> None:
    assert _wants_json(accept) is as_json


def test_caches_learn_what_the_answer_depends_on(service: Explaining) -> None:
    assert service.explain(image_file()).headers["Vary"] == "Accept"


def test_of_a_frame_the_probes_vehicle_is_explained(service: Explaining) -> None:
    frame, road = FRAME.read_bytes(), image_file(GREEN)
    box = ",".join(map(str, RED_CAR))
    by_box = service.explain(road, probe=frame, json=True, box=box).json()
    whole = service.explain(road, probe=frame, json=True).json()
    crop = file_of(Image.open(FRAME).crop((293, 0, 466, 247)), "PNG")
    by_crop = service.explain(road, probe=crop, json=True).json()
    box_map, crop_map, frame_map = (
        np.array(answer["activations"]["probe"]) for answer in (by_box, by_crop, whole)
    )
    assert np.abs(box_map - crop_map).mean() < 0.2 * np.abs(box_map - frame_map).mean()
    check(service.explain(road, probe=frame, box="1,2,3"), 422, "invalid-fields", "box")
    check(service.explain(road, probe=frame, detect="all"), 422, "invalid-fields", "detect")


def test_one_candidate_is_needed(service: Explaining) -> None:
    for response in (service.explain(), service.explain(image_file(), candidate_id="green")):
        check(response, 422, "invalid-fields", "candidate_id", "candidate_image")


def test_an_uploaded_candidate_of_a_camera_is_as_near_as_a_query_finds_it(
    bundle: Bundle, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path, bundle=bundle.path, runtime="cpu", threads=1, camera_normalisation="on"
    )
    app = create_app(settings)
    with serving(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        wait_until_ready(client)
        for number, colour in enumerate((RED, GREEN, BLUE, (90, 90, 0), (0, 90, 90), (90, 0, 90))):
            about = {"image_id": str(number), "camera_id": "ab"[number % 2]}
            client.post("/gallery", files={"image": ("x", image_file(colour))}, data=about).raise_for_status()
        cameras = app.state.lifecycle.resources.gallery.cameras
        cameras.wait()
        cameras.renew_if_due()
        with Client(url) as service:
            matches = service.query(image_file(RED), camera_id="a").matches
            (wanted,) = (match.similarity for match in matches if match.image_id == "1")

            def similarity(**candidate: Any) -> float:
                return service.explain(image_file(RED), camera_id="a", **candidate).similarity

            sent = image_file(GREEN)
            found = similarity(candidate=sent, candidate_camera_id="b")
            assert found == pytest.approx(wanted, abs=1e-4)
            assert found == similarity(candidate_id="1")
            assert found != pytest.approx(similarity(candidate=sent), abs=1e-2)
            drawn, unnamed = (
                service.explain_figure(image_file(RED), sent, camera_id="a", candidate_camera_id=camera)
                for camera in ("b", None)
            )
            assert drawn != unnamed


def test_an_enrolled_candidate_comes_with_no_camera(service: Explaining) -> None:
    answer = service.explain(candidate_id="green", candidate_camera_id="b")
    problem = check(answer, 422, "invalid-fields", "candidate_camera_id")
    assert "leave it out" in problem["errors"][0]["message"]
    check(
        service.explain(image_file(), candidate_camera_id=" b"), 422, "invalid-fields", "candidate_camera_id"
    )


def test_a_candidate_that_is_not_enrolled_is_not_found(service: Explaining) -> None:
    check(service.explain(candidate_id="nobody"), 404, "unknown-image")


@pytest.mark.parametrize("field", ["image", "candidate_image"])
def test_a_file_that_is_no_image_is_named(service: Explaining, field: str) -> None:
    files = {"image": image_file(), "candidate_image": image_file(), field: b"no image"}
    response = service.explain(files["candidate_image"], probe=files["image"])
    problem = check(response, 422, "not-an-image", field)
    assert "no image that is known here" in problem["detail"]


@pytest.mark.parametrize("field", ["image", "candidate_image"])
def test_text_in_the_place_of_a_file_is_named(service: Explaining, field: str) -> None:
    files = {"image": ("x", image_file()), "candidate_image": ("x", image_file())}
    files.pop(field)
    response = service.client.post("/explain", files=files, data={field: "car.jpg"})
    problem = check(response, 422, "invalid-fields", field)
    assert "file" in problem["errors"][0]["message"], problem


def test_uploads_have_the_bounds_of_a_query(service: Explaining) -> None:
    check(service.explain(b"\0" * (BYTES + 1)), 413, "upload-too-large")
    check(service.explain(image_file(), probe=b"\0" * (BYTES + 1)), 413, "upload-too-large")
    check(service.explain(b"\0" * (3 * BYTES)), 413, "upload-too-large")


def test_it_is_counted_and_written_down_as_a_query_is(service: Explaining) -> None:
    service.explain(candidate_id="green").raise_for_status()
    lines = (service.folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    entry = json.loads(lines[-1])
    hashed = FileIdHasher(service.folder / "audit.key").digest("green")
    assert (entry["action"], entry["status"], entry["image_hash"]) == ("explain", 200, hashed)
    metrics = service.client.get("/metrics").text
    assert 'lka_reid_requests_total{method="POST",route="/explain",status="200"}' in metrics
    assert 'lka_reid_stage_seconds_count{stage="explain"}' in metrics
    assert "green" not in metrics


def test_a_bundle_without_the_parts_says_so_and_still_answers_queries(
    tmp_path: Path, small_bundle: SmallBundle
) -> None:
    old = small_bundle(tmp_path / "old", explainable=False)
    settings = Settings(data_dir=tmp_path / "data", bundle=old.path, runtime="cpu", threads=1)
    with serving(create_app(settings)) as url, httpx.Client(base_url=url, timeout=30) as client:
        wait_until_ready(client)
        files = {"image": ("x", image_file()), "candidate_image": ("x", image_file())}
        problem = check(client.post("/explain", files=files), 501, "not-explainable")
        assert "export it again with `lka-reid export`" in problem["detail"]
        assert str(tmp_path) not in problem["detail"]
        assert client.post("/query", files={"image": ("x", image_file())}).status_code == 200


def test_a_bundle_without_a_second_stage_says_so(shared_service: Running) -> None:
    files = {"image": ("x", image_file()), "candidate_image": ("x", image_file())}
    problem = check(shared_service.client.post("/explain", files=files), 501, "not-explainable")
    assert "no re-ranker" in problem["detail"]


def slow_explainer(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> tuple[PairExplainer, threading.Event]:
    going_on = threading.Event()

    def wait(*_: object) -> bytes:
        going_on.wait(20)
        return b""

    monkeypatch.setattr(PairExplainer, "_draw", wait)
    return PairExplainer(bundle, 1, decode_pool()), going_on


def test_only_so_many_are_let_in(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer, going_on = slow_explainer(bundle, monkeypatch)
    upload = Upload(image_file(), "x", "image")

    async def crowd() -> list[bytes | BaseException]:
        deadline = time.monotonic() + 20
        asked = [asyncio.create_task(explainer.figure(upload, upload, deadline)) for _ in range(PLACES + 2)]
        await asyncio.sleep(0.05)
        going_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(crowd())
    assert answers[:PLACES] == [b""] * PLACES
    assert [type(answer) for answer in answers[PLACES:]] == [Overloaded] * 2
    assert asyncio.run(explainer.figure(upload, upload, time.monotonic() + 20)) == b""


def test_a_deadline_is_kept_while_waiting(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer, going_on = slow_explainer(bundle, monkeypatch)
    upload = Upload(image_file(), "x", "image")

    async def wait() -> None:
        first = asyncio.create_task(explainer.figure(upload, upload, time.monotonic() + 20))
        await asyncio.sleep(0.05)
        with pytest.raises(Expired):
            await explainer.figure(upload, upload, time.monotonic() + 0.05)
        going_on.set()
        assert await first == b""

    asyncio.run(wait())


def test_an_explanation_at_work_keeps_its_place_when_its_client_has_gone(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer, going_on = slow_explainer(bundle, monkeypatch)
    upload = Upload(image_file(), "x", "image")

    async def hang_up() -> None:
        deadline = time.monotonic() + 20
        asked = [asyncio.create_task(explainer.figure(upload, upload, deadline))]
        assert await asyncio.to_thread(at_work.wait, 20)
        asked += [asyncio.create_task(explainer.figure(upload, upload, deadline)) for _ in range(PLACES - 1)]
        await asyncio.sleep(0)
        for gone in asked[:2]:
            gone.cancel()
        await asyncio.wait(asked[:2])
        # The one that was waiting has left; the one at work has not.
        asked.append(asyncio.create_task(explainer.figure(upload, upload, deadline)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await explainer.figure(upload, upload, deadline)
        going_on.set()
        assert await asyncio.gather(*asked[2:]) == [b""] * 3
        assert await explainer.figure(upload, upload, deadline) == b""

    at_work = threading.Event()
    slow = PairExplainer._draw

    def draw(self: PairExplainer, pair: Pair, cameras: Any) -> bytes:
        at_work.set()
        return slow(self, pair, cameras)

    monkeypatch.setattr(PairExplainer, "_draw", draw)
    asyncio.run(hang_up())
