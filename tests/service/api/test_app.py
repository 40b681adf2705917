"""The application as a whole: what it imports, how it starts, how it ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from models.bundle import BundleError
from service import resources
from service.api.app import create_app
from service.settings import Settings
from tests.service.command_line import ROOT
from tests.service.fakes import (
    image_file,
    load_fakes,
    make_models,
    open_gallery,
    running,
    serving,
    wait_until_ready,
    write_bundle,
)


def run_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_serving_needs_no_torch() -> None:
    run_python(
        "import sys\n"
        "for name in ('torch', 'torchvision', 'training'): sys.modules[name] = None\n"
        "import importlib, pkgutil, index, service, models.runtime, models.explainer\n"
        "for package in (index, service):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "from service.api.app import create_app\n"
        "assert create_app().openapi()['paths']\n"
    )


def test_help_does_not_wait_for_what_it_does_not_need() -> None:
    run_python(
        "import sys, service.cli\n"
        "slow = {'torch', 'fastapi', 'faiss', 'onnxruntime', 'numpy', 'httpx', 'PIL', 'training'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )


@pytest.mark.slow
def test_a_service_opens_what_its_settings_name_and_finds_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "load_models", load_fakes)
    settings = Settings(data_dir=tmp_path / "data", bundle=write_bundle(tmp_path / "bundle"))
    for size in (0, 1):
        with serving(create_app(settings)) as url, httpx.Client(base_url=url) as client:
            wait_until_ready(client)
            assert client.get("/health/ready").json()["gallery_size"] == size
            client.post("/gallery", files={"image": ("x", image_file())}, data={"image_id": "a"})


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_start_that_fails_is_reported_and_stays_not_ready(tmp_path: Path, damage: str) -> None:
    bundle = tmp_path / "bundle"
    if damage == "changed":
        (write_bundle(bundle) / "embedder.onnx").write_bytes(b"NO MODEL")
    failed = threading.Event()
    app = create_app(Settings(data_dir=tmp_path / "data", bundle=bundle), on_failure=failed.set)
    with serving(app) as url:
        assert failed.wait(20)
        response = httpx.get(url + "/health/ready")
        assert response.status_code == 503
        assert response.json()["type"] == "urn:lka-reid:problem:not-ready"
        assert str(tmp_path) not in response.text
    assert isinstance(app.state.lifecycle.failure, BundleError)
    assert not (tmp_path / "data").exists()


def test_what_was_opened_is_closed_when_the_embedder_does_not_start(tmp_path: Path) -> None:
    models, failed = make_models(), threading.Event()

    def fail(_images: object) -> None:
        raise RuntimeError("no device")

    models.embedder.on_embed = fail
    settings = Settings(data_dir=tmp_path / "data")
    with serving(create_app(settings, models=models, on_failure=failed.set)):
        assert failed.wait(20)
        with open_gallery(tmp_path / "data") as gallery:
            assert gallery.count() == 0


@pytest.mark.slow
def test_requests_under_way_at_the_end_are_answered(tmp_path: Path) -> None:
    models, gallery = make_models(), open_gallery(tmp_path / "gallery")
    entered, go = threading.Event(), threading.Event()
    answers: list[httpx.Response] = []
    with gallery:
        with serving(create_app(Settings(), models=models, gallery=gallery)) as url:
            with httpx.Client(base_url=url) as client:
                wait_until_ready(client)

            def hold(_images: object) -> None:
                entered.set()
                assert go.wait(20)

            models.embedder.on_embed = hold
            files = {"image": ("x", image_file())}
            thread = threading.Thread(
                target=lambda: answers.append(httpx.post(url + "/gallery", files=files))
            )
            thread.start()
            assert entered.wait(20)
            threading.Timer(0.3, go.set).start()
        thread.join(20)
        assert answers[0].status_code == 201
        assert gallery.count() == 1


def test_a_gallery_of_ones_own_is_left_open(tmp_path: Path) -> None:
    with open_gallery(tmp_path / "gallery") as gallery:
        app = create_app(Settings(), models=make_models(), gallery=gallery)
        with serving(app) as url, httpx.Client(base_url=url) as client:
            wait_until_ready(client)
        assert gallery.count() == 0


@pytest.mark.slow
def test_many_at_once_each_find_what_they_enrolled(tmp_path: Path) -> None:
    colours = [(red, green, 255 - red) for red in (0, 85, 170, 255) for green in (0, 85, 170, 255)]

    def enroll_and_query(number: int) -> tuple[int, str]:
        image = image_file(colours[number])
        enrolled = service.enroll(image, image_id=str(number)).status_code
        return enrolled, service.query(image, top_k=1).json()["matches"][0]["image_id"]

    with running(tmp_path) as service, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(enroll_and_query, range(len(colours))))
        assert found == [(201, str(number)) for number in range(len(colours))]
        assert service.gallery.count() == len(colours)
