"""Health tells the truth; metrics count."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from index import GalleryError, LocalGallery
from models.manifest import Threshold
from service.api.app import create_app
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.service.access.holders import guarded
from tests.service.fakes import FINGERPRINT, Running, make_models, open_gallery, running, serving


def test_ready_says_what_is_served(service: Running) -> None:
    service.enroll()
    answer = service.client.get("/health/ready").json()
    assert answer.pop("forward_age_s") >= 0
    assert answer == {
        "status": "ready",
        "runtime": "fake",
        "bundle": "fake",
        "fingerprint": FINGERPRINT,
        "reranker": True,
        "match_threshold": None,
        "workers": 1,
        "gallery_size": 1,
        "index_kind": "flat",
        "index_device": "cpu",
        "index_gpu_left_out": None,
        "gpu_left_out": None,
        "queue_depth": 0,
    }


def test_ready_tells_nobody_how_many_images_there_are_once_there_are_keys(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        for headers in ({}, it.headers("admin")):
            answer = it.service.client.get("/health/ready", headers=headers).json()
            assert (answer["status"], answer["gallery_size"]) == ("ready", None)


def test_ready_tells_the_threshold_of_a_calibrated_bundle(tmp_path: Path) -> None:
    models = make_models()
    threshold = Threshold(
        similarity=0.42,
        false_match_rate=0.01,
        false_match_interval=(0.005, 0.02),
        true_match_rate=0.9,
        measured_on="nothing",
        fingerprint=FINGERPRINT,
    )
    manifest = models.bundle.manifest.model_copy(update={"threshold": threshold})
    models.bundle = dataclasses.replace(models.bundle, manifest=manifest)
    with running(tmp_path, models) as service:
        assert service.client.get("/health/ready").json()["match_threshold"] == 0.42


def test_ready_tells_what_is_left_out_on_the_gpu(tmp_path: Path) -> None:
    models = make_models()
    models.gpu_left_out = {"CUDA graphs": "no /opt/secret/lib.so", "stream 2": "out of memory"}
    with running(tmp_path, models) as service:
        answer = service.client.get("/health/ready").json()
    assert answer["status"] == "ready"
    assert answer["gpu_left_out"].startswith("CUDA graphs: no ")
    assert answer["gpu_left_out"].endswith("; stream 2: out of memory")
    assert "/opt/secret" not in answer["gpu_left_out"]


def test_a_fresh_forward_pass_is_proof_enough(service: Running) -> None:
    before = len(service.models.embedder.batches)
    assert service.client.get("/health/ready").status_code == 200
    assert len(service.models.embedder.batches) == before


def test_an_old_forward_pass_is_repeated(tmp_path: Path) -> None:
    with running(tmp_path, ready_max_age_s=1e-9) as service:
        before = len(service.models.embedder.batches)
        assert service.client.get("/health/ready").status_code == 200
        assert len(service.models.embedder.batches) == before + 1


def test_after_a_failure_readiness_is_proven_anew(service: Running) -> None:
    def fail(_images: object) -> None:
        raise RuntimeError("lost the device")

    service.models.embedder.on_embed = fail
    assert service.query().status_code == 500
    for _ in range(2):
        response = service.client.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["type"] == "urn:lka-reid:problem:not-ready"
        assert "lost the device" in response.json()["detail"]
    assert service.client.get("/health/live").status_code == 200
    service.models.embedder.on_embed = lambda _images: None
    assert service.client.get("/health/ready").status_code == 200


def test_a_dead_worker_is_seen_and_no_request_hangs(service: Running) -> None:
    def die(_images: object) -> None:
        raise SystemExit("killed")

    service.models.embedder.on_embed = die
    for response in (service.query(), service.query(), service.client.get("/health/ready")):
        assert response.status_code == 503
        assert response.json()["type"] == "urn:lka-reid:problem:not-ready"
    assert service.client.get("/health/live").status_code == 200


@pytest.mark.slow
def test_until_it_is_ready_the_service_answers_503_and_says_what_it_does(tmp_path: Path) -> None:
    models, go, entered = make_models(), threading.Event(), threading.Event()

    def hold(_images: object) -> None:
        entered.set()
        assert go.wait(20)

    models.embedder.on_embed = hold
    with open_gallery(tmp_path / "gallery") as gallery:
        app = create_app(Settings(), models=models, gallery=gallery)
        with serving(app) as url, httpx.Client(base_url=url) as client:
            assert entered.wait(20)
            ready = client.get("/health/ready")
            assert ready.status_code == 503
            assert ready.headers["Retry-After"]
            assert ready.json()["detail"] == "warming the embedder up"
            assert client.get("/gallery").status_code == 503
            assert client.get("/health/live").status_code == 200
            go.set()
            while client.get("/health/ready").status_code != 200:
                pass
            assert client.get("/gallery").status_code == 200


def samples(service: Running) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = service.client.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_tell_nothing_of_what_is_not_open_yet() -> None:
    gauges = {sample.name: sample.value for it in Metrics().registry.collect() for sample in it.samples}
    for name in ("queue_depth", "queue_up", "workers_up", "gallery_images", "data_free_bytes"):
        assert math.isnan(gauges[f"lka_reid_{name}"]), name
    assert gauges["lka_reid_ready"] == gauges["lka_reid_requests_in_flight"] == 0


def test_metrics_count_requests_stages_batches_and_rejections(service: Running) -> None:
    service.enroll(image_id="a")
    service.enroll(image_id="a")
    service.query()
    service.client.get("/gallery/a")
    service.client.request("PURGE", "/coffee")
    found = samples(service)
    for stage, count in {"decode": 2, "queue": 2, "embed": 2, "search": 1, "rerank": 1, "total": 2}.items():
        assert found["lka_reid_stage_seconds_count", (("stage", stage),)] == count

    def requests(method: str, route: str, status: int) -> float:
        return found[
            "lka_reid_requests_total", (("method", method), ("route", route), ("status", str(status)))
        ]

    assert requests("POST", "/gallery", 201) == 1
    assert requests("POST", "/gallery", 409) == 1
    assert requests("GET", "/gallery/{image_id:path}", 200) == 1
    assert requests("other", "unmatched", 404) == 1
    assert found["lka_reid_rejected_total", (("reason", "duplicate-image"),)] == 1
    assert found["lka_reid_batch_images_count", ()] == 2
    assert found["lka_reid_gallery_images", ()] == 1
    assert found["lka_reid_gallery_changes_since_snapshot", ()] == 1
    assert 0 < found["lka_reid_data_free_bytes", ()] < found["lka_reid_data_size_bytes", ()]
    assert found["lka_reid_queue_depth", ()] == 0
    assert found["lka_reid_ready", ()] == 1
    labels = (("fingerprint", FINGERPRINT), ("name", "fake"), ("runtime", "fake"))
    assert found["lka_reid_bundle_info", labels] == 1


def test_two_applications_count_apart(service: Running, tmp_path: Path) -> None:
    service.enroll()
    with running(tmp_path / "other") as other:
        assert samples(other)["lka_reid_stage_seconds_count", (("stage", "total"),)] == 0


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_the_way_to_the_documentation_is_shown(shared_service: Running, path: str) -> None:
    assert shared_service.client.get(path).status_code == 200


@pytest.mark.slow
def test_a_damaged_gallery_is_an_error_of_its_own_and_not_ready(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.enroll(image_id="a")
        folder = next(tmp_path.rglob("gallery.sqlite")).parent
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        [page] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'strips'").fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    with (folder / "gallery.sqlite").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    with running(tmp_path) as service:
        refused = service.query()
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:lka-reid:problem:gallery-damaged"
        ready = service.client.get("/health/ready")
        assert ready.status_code == 503
        assert "gallery.sqlite in ... is damaged" in ready.json()["detail"]
        assert str(tmp_path) not in ready.text + refused.text


def test_a_gallery_that_goes_away_while_it_is_asked_is_not_ready(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.client.get("/health/ready").status_code == 200

    def gone(*_: object) -> int:
        raise GalleryError("it is gone")

    monkeypatch.setattr(LocalGallery, "count", gone)
    ready = service.client.get("/health/ready")
    assert (ready.status_code, ready.json()["type"]) == (503, "urn:lka-reid:problem:not-ready")
    assert ready.json()["detail"] == "it is gone"
    assert "lka_reid_ready 0.0" in service.client.get("/metrics").text
