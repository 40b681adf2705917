"""/cameras over HTTP: what is listed, learned and forgotten, and what a query says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from index import Enrollment, LocalGallery, Mode
from index.cameras.estimation import AUTO_IMAGES
from models.manifest import Threshold
from service.api.app import create_app
from service.settings import Settings
from tests.service.api.test_problems import check
from tests.service.fakes import (
    DIM,
    FINGERPRINT,
    STRIPS,
    Running,
    decode_pool,
    image_file,
    make_models,
    serving,
    wait_until_ready,
)

TINTS = {"gate-1": (50, 0, 0), "gate-2": (0, 0, 50), "gate-3": (0, 50, 0)}


def seen(number: int, camera: str) -> bytes:
    """A vehicle before a camera with a tint of its own."""
    own = [(20, 205)[number >> bit & 1] - (11 * number) % 20 for bit in range(3)]
    red, green, blue = (colour + tint for colour, tint in zip(own, TINTS[camera], strict=True))
    return image_file((red, green, blue))


@contextmanager
def running(folder: Path, mode: Mode, *, setting: Mode | None = None, **manifest: Any) -> Iterator[Running]:
    """A service on a gallery of a mode, which is told that mode, or another one, by its settings."""
    models = make_models()
    if manifest:
        changed = models.bundle.manifest.model_copy(update=manifest)
        models.bundle = type(models.bundle)(models.bundle.path, changed, models.bundle.fingerprint)
    gallery = LocalGallery.open(
        folder / "gallery",
        fingerprint=FINGERPRINT,
        descriptor_dim=DIM,
        strips_shape=STRIPS,
        normalisation=mode,
    )
    settings = Settings(data_dir=folder, camera_normalisation=setting or mode)
    app = create_app(settings, models=models, gallery=gallery, pool=decode_pool())
    with gallery, serving(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        wait_until_ready(client)
        yield Running(app, models, gallery, client, url)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, "auto") as it:
        yield it


def fill(service: Running, *cameras: str, count: int = AUTO_IMAGES) -> None:
    for camera in cameras:
        for number in range(count):
            answer = service.enroll(seen(number, camera), image_id=f"{camera}/{number}", camera_id=camera)
            assert answer.status_code == 201
    service.gallery.cameras.wait()
    service.gallery.cameras.renew_if_due()


def calibrate(service: Running, camera: str, image: bytes, **fields: str) -> httpx.Response:
    files = {"image": ("x", image)}
    return service.client.post(f"/cameras/{camera}/calibration", files=files, data=fields)


def test_a_gallery_without_cameras_lists_none(service: Running) -> None:
    answer = service.client.get("/cameras").json()
    assert answer["cameras"] == []
    assert answer["normalisation"]["mode"] == "auto"
    assert answer["normalisation"]["is_on"] is False
    assert answer["normalisation"]["version"] == 0


def test_cameras_are_listed_with_what_is_known_of_them(service: Running) -> None:
    fill(service, "gate-1", "gate-2")
    answer = service.client.get("/cameras").json()
    assert [camera["camera_id"] for camera in answer["cameras"]] == ["gate-1", "gate-2"]
    assert {camera["use"] for camera in answer["cameras"]} == {"known"}
    assert {camera["enrolled"] for camera in answer["cameras"]} == {AUTO_IMAGES}
    assert answer["normalisation"]["is_on"] is True
    camera = service.client.get("/cameras/gate-1").json()
    assert camera["distance"] > 0
    assert camera["effect"]["images"] == 2 * AUTO_IMAGES
    assert camera["effect"]["before"] > camera["effect"]["after"]


def test_a_query_says_what_was_taken_out_of_the_descriptors(service: Running) -> None:
    assert service.query(seen(1, "gate-1"), camera_id="gate-1").json()["normalisation"] == {
        "mode": "auto",
        "version": 0,
        "camera": "off",
    }
    fill(service, "gate-1", "gate-2")
    version = service.gallery.cameras.normalisation().version
    for fields, use in (({"camera_id": "gate-1"}, "known"), ({"camera_id": "x"}, "global"), ({}, "global")):
        answer = service.query(seen(1, "gate-1"), **fields).json()
        assert answer["normalisation"] == {"mode": "auto", "version": version, "camera": use}


def test_a_query_with_its_camera_finds_itself_and_changes_nothing(service: Running) -> None:
    fill(service, "gate-1", "gate-2")
    before = service.client.get("/cameras").json()
    answer = service.query(seen(3, "gate-2"), camera_id="gate-2").json()
    assert answer["matches"][0]["image_id"] == "gate-2/3"
    assert answer["matches"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert service.client.get("/cameras").json() == before


def test_off_answers_as_if_nothing_were_known_of_cameras(tmp_path: Path) -> None:
    with running(tmp_path / "off", "off") as service:
        fill(service, "gate-1", "gate-2")
        named = service.query(seen(3, "gate-2"), camera_id="gate-2").json()
        unnamed = service.query(seen(3, "gate-2")).json()
        assert "normalisation" not in named
        assert named["matches"] == unnamed["matches"]
        assert unnamed.keys() == named.keys()
        raw = service.gallery.search(
            service.models.embedder.embed(_prepared(seen(3, "gate-2"))).descriptors, k=1
        )
        assert raw[0][0].similarity == unnamed["matches"][0]["similarity"]


def _prepared(image: bytes) -> Any:
    from models.decoding import decode
    from models.preprocessing import prepare

    return prepare(decode(image), make_models().bundle.manifest.input)[None]


def test_a_camera_is_learned_from_images_that_are_not_enrolled(service: Running) -> None:
    fill(service, "gate-1", "gate-2")
    for number in range(AUTO_IMAGES):
        answer = calibrate(service, "gate-3", seen(number + 50, "gate-3"))
        assert answer.status_code == 201
        assert answer.json() == {
            "camera_id": "gate-3",
            "counted": True,
            "calibrated": number + 1,
            "enrolled": 0,
        }
    again = calibrate(service, "gate-3", seen(50, "gate-3"))
    assert (again.status_code, again.json()["counted"]) == (200, False)
    assert again.json()["calibrated"] == AUTO_IMAGES
    assert service.query().json()["gallery_size"] == 2 * AUTO_IMAGES
    service.gallery.cameras.wait()
    service.gallery.cameras.renew_if_due()
    used = service.query(seen(3, "gate-3"), camera_id="gate-3").json()["normalisation"]
    assert used["camera"] == "known"
    assert service.client.get("/cameras/gate-3").json()["effect"] is None

    assert service.client.delete("/cameras/gate-3/calibration").status_code == 204
    check(service.client.delete("/cameras/gate-3/calibration"), 404, "unknown-camera")
    check(service.client.get("/cameras/gate-3"), 404, "unknown-camera")


def test_what_is_no_image_teaches_nothing(service: Running) -> None:
    check(calibrate(service, "gate-3", b"no image"), 422, "not-an-image", "image")
    assert service.client.get("/cameras").json()["cameras"] == []
    answer = service.client.post("/cameras/gate-3/calibration", data={"vehicle_id": "x"})
    check(answer, 422, "invalid-fields", "image")


def test_begun_anew_a_calibration_is_forgotten_for_an_image_that_counts_alone(service: Running) -> None:
    for number in range(3):
        calibrate(service, "gate-3", seen(number, "gate-3"))
    check(calibrate(service, "gate-3", b"no image", anew="true"), 422, "not-an-image", "image")
    assert service.client.get("/cameras/gate-3").json()["calibrated"] == 3
    answer = calibrate(service, "gate-3", seen(1, "gate-3"), anew="true")
    assert (answer.status_code, answer.json()["counted"], answer.json()["calibrated"]) == (201, True, 1)
    assert calibrate(service, "gate-3", seen(2, "gate-3"), anew="false").json()["calibrated"] == 2


def test_a_camera_id_may_have_slashes_and_must_be_a_label(service: Running) -> None:
    assert calibrate(service, "north/gate%201", seen(1, "gate-1")).status_code == 201
    assert service.client.get("/cameras/north/gate%201").json()["camera_id"] == "north/gate 1"
    check(service.client.get("/cameras/%20x"), 422, "invalid-fields", "camera_id")
    check(service.query(camera_id=" x"), 422, "invalid-fields", "camera_id")


@pytest.mark.parametrize("camera", ["..", ".", "./x", "a/../b", "a/.."])
def test_a_camera_whose_routes_could_not_be_asked_for_is_refused_wherever_it_is_named(
    service: Running, camera: str
) -> None:
    service.enroll(image_id="a")
    image, about = {"image": ("x", seen(1, "gate-1"))}, {"camera_id": camera}
    answers = [
        service.enroll(image_id="b", camera_id=camera),
        service.query(camera_id=camera),
        service.client.patch("/gallery/a", files={"camera_id": (None, camera)}),
        service.client.post("/watches", files=image, data=about),
        service.client.post("/verdicts", files=image, data={"image_id": "a", "verdict": "same", **about}),
        # As a client sends it that takes no care of a path.
        service.client.get(f"/cameras/{camera.replace('/', '%2F').replace('.', '%2E')}"),
    ]
    for answer in answers:
        problem = check(answer, 422, "invalid-fields", "camera_id")
        assert f"is '{camera}', which is not a legal camera id" in problem["errors"][0]["message"]
    items = json.dumps([about])
    batch = service.client.post("/gallery/batch", files={"images": image["image"]}, data={"items": items})
    check(batch, 422, "invalid-fields", "items.0.camera_id")


def test_an_image_of_such_a_camera_from_before_is_found_and_gets_another(service: Running) -> None:
    descriptor = np.eye(1, DIM, dtype=np.float32)[0]
    service.gallery.enroll(
        Enrollment(
            image_id="a",
            camera_id="..",
            descriptor=descriptor,
            strips=None,
            image=image_file(),
            media_type="image/png",
        )
    )
    listed = service.client.get("/gallery", params={"only_camera_id": ".."}).json()["records"]
    assert [record["image_id"] for record in listed] == ["a"]
    changed = service.client.patch("/gallery/a", files={"camera_id": (None, "gate-1")})
    assert changed.json()["camera_id"] == "gate-1"
    assert [one["camera_id"] for one in service.client.get("/cameras").json()["cameras"]] == ["gate-1"]


def threshold(similarity: float) -> Threshold:
    return Threshold(
        similarity=similarity,
        false_match_rate=0.01,
        false_match_interval=(0.005, 0.02),
        true_match_rate=0.8,
        measured_on="images",
        fingerprint=FINGERPRINT,
    )


@pytest.mark.parametrize(
    ("thresholds", "before", "after"),
    [
        ({"threshold": threshold(-1.0)}, True, None),
        ({"threshold": threshold(-1.0), "normalised_threshold": threshold(1.0)}, True, False),
        ({"normalised_threshold": threshold(-1.0)}, None, True),
    ],
)
def test_a_threshold_is_held_against_the_similarities_that_it_was_measured_on(
    tmp_path: Path, thresholds: dict[str, Any], before: bool | None, after: bool | None
) -> None:
    with running(tmp_path, "auto", **thresholds) as service:
        fill(service, "gate-1")
        matches = service.query(seen(90, "gate-1"), camera_id="gate-1", top_k=3).json()["matches"]
        assert {match["is_match"] for match in matches} == {before}
        ready = service.client.get("/health/ready").json()
        assert ready["match_threshold"] == (-1.0 if before else None)
        fill(service, "gate-2")
        matches = service.query(seen(90, "gate-1"), camera_id="gate-1", top_k=3).json()["matches"]
        assert {match["is_match"] for match in matches} == {after}
        ready = service.client.get("/health/ready").json()
        assert ready["match_threshold"] == {None: None, True: -1.0, False: 1.0}[after]


def test_the_setting_off_hides_no_normalised_similarities(tmp_path: Path) -> None:
    low, high = threshold(-1.0), threshold(1.0)
    with running(tmp_path, "auto", setting="off", threshold=low, normalised_threshold=high) as service:
        raw = service.query(seen(90, "gate-1"), camera_id="gate-1").json()
        assert ("normalisation" in raw, raw["match_threshold"]) == (False, -1.0)
        fill(service, "gate-1", "gate-2")
        version = service.gallery.cameras.normalisation().version
        image = seen(90, "gate-1")
        alone = service.query(image, camera_id="gate-1").json()
        batch = service.client.post(
            "/query/batch",
            files=[("images", ("x", image))] * 2,
            data={"items": json.dumps([{"camera_id": "gate-1"}, {}])},
        ).json()
        named, unnamed = (item["answer"] for item in batch["items"])
        for answer, use in ((alone, "known"), (named, "known"), (unnamed, "global")):
            assert answer["normalisation"] == {"mode": "off", "version": version, "camera": use}
            assert answer["match_threshold"] == 1.0
            assert {match["is_match"] for match in answer["matches"]} == {False}


def test_the_metrics_tell_version_and_drift(service: Running) -> None:
    fill(service, "gate-1", "gate-2")
    text = service.client.get("/metrics").text
    version = service.gallery.cameras.normalisation().version
    assert f"lka_reid_normalisation_version {version:.1f}" in text
    assert "lka_reid_normalisation_drift 0" in text
    assert "lka_reid_normalisation_renewal_seconds 0." in text
    assert "lka_reid_normalisation_cameras 2.0" in text
