"""One answer tells a person how the service fares, whether it is ready or not, and names no image."""

from __future__ import annotations

from pathlib import Path

from models.manifest import Accuracy, AccuracyRow
from service.inference.forward import EmbeddingError
from tests.service.fakes import FINGERPRINT, Running, make_models, running


def test_it_holds_what_a_person_looks_for(tmp_path: Path) -> None:
    models = make_models()
    rows = tuple(
        AccuracyRow(
            name=name, task="test", protocol="standard", gallery=9, queries=4, mAP=80.0, cmc={1: 75.0}
        )
        for name in ("both stages", "a baseline")
    )
    models.bundle = type(models.bundle)(
        models.bundle.path,
        models.bundle.manifest.model_copy(update={"accuracy": Accuracy(measured_on="81 cars", rows=rows)}),
        FINGERPRINT,
    )
    with running(tmp_path, models) as service:
        service.enroll(image_id="secret-id")
        service.query()
        response = service.client.get("/status")
    answer = response.json()
    assert answer["ready"]["runtime"] == "fake"
    assert answer["reason"] is None
    assert answer["bundle"]["measured_on"] == "81 cars"
    assert [(row["name"], row["r1"]) for row in answer["bundle"]["accuracy"]] == [("both stages", 75.0)]
    assert answer["queue"] | {"oldest_s": 0} == {
        "depth": 0,
        "limit": 256,
        "oldest_s": 0,
        "workers": 1,
        "is_up": True,
        "dead_letters": 0,
    }
    assert (answer["gallery"]["images"], answer["gallery"]["fault"]) == (1, None)
    assert 0 < answer["gallery"]["disk_free_bytes"] < answer["gallery"]["disk_total_bytes"]
    stages = {stage["stage"]: stage for stage in answer["stages"]}
    assert stages["embed"]["count"] == stages["total"]["count"] == 2
    assert stages["total"]["p95_ms"] >= stages["total"]["median_ms"] > 0
    assert {error["kind"] for error in answer["errors"]} <= {"not-ready"}, "of its start"
    assert "secret-id" not in response.text


def test_errors_are_counted_by_kind_and_route_with_what_to_do(service: Running) -> None:
    service.query(b"no image")
    service.client.get("/gallery/secret-id")
    last = service.query(b"no image")
    response = service.client.get("/status")
    images, unknown, *_ = response.json()["errors"]
    assert (images["kind"], images["route"], images["count"]) == ("not-an-image", "POST /query", 2)
    assert images["request_id"] == last.headers["X-Request-ID"]
    assert images["status"] == 422
    assert images["what_to_do"].startswith("The bytes are no image")
    assert (unknown["kind"], unknown["route"]) == ("unknown-image", "GET /gallery/{image_id:path}")
    assert "secret-id" not in response.text


def test_it_answers_where_the_service_is_not_ready(service: Running) -> None:
    def fail(_images: object) -> None:
        raise EmbeddingError("broken")

    service.models.embedder.on_embed = fail
    service.query()
    answer = service.client.get("/status").json()
    assert answer["ready"] is None
    assert "does not answer" in answer["reason"]
    assert answer["bundle"]["name"] == "fake"
