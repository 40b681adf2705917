"""No answer names a path of this machine, whatever fails."""

from __future__ import annotations

import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import service
from index import GalleryError
from service import resources
from service.api.app import create_app
from service.api.errors import without_paths
from service.settings import Settings
from tests.service.fakes import (
    Running,
    image_file,
    load_fakes,
    open_gallery,
    running,
    serving,
    write_bundle,
)

ROUTES = (
    "/",
    "/console/app.js",
    "/access",
    "/status",
    "/docs",
    "/docs/start.js",
    "/openapi.json",
    "/health/live",
    "/health/ready",
    "/metrics",
)


def assert_no_path(response: httpx.Response, *secret: Path) -> None:
    """Neither of these, nor of the environment, nor of the code."""
    roots = [*secret, Path(sys.prefix), Path.cwd(), Path(sysconfig.get_path("purelib")), Path.home()]
    roots.append(Path(str(service.__file__)).parents[1])
    answer = response.text + str(response.headers)
    for root in roots:
        assert str(root) == "/" or str(root) not in answer, response.url
    assert "site-packages" not in answer


def test_no_route_names_one(tmp_path: Path) -> None:
    with running(tmp_path) as it:
        answers = [it.client.get(path) for path in ROUTES]
        answers += [it.enroll(image_id="a"), it.enroll(image_id="a"), it.query(), it.query(b"no image")]
        answers += [it.client.get(path) for path in ("/gallery", "/gallery/a", "/gallery/b", "/nowhere")]
        answers += [it.client.put("/query"), it.client.get("/gallery?limit=0"), it.query(top_k=0)]
        answers += [it.client.get(f"/docs/..%2f..%2f{name}") for name in ("index.html", "etc/passwd")]
        for answer in answers:
            assert_no_path(answer, tmp_path)


@pytest.mark.parametrize("call", [Running.query, lambda it: it.client.get("/health/ready"), Running.enroll])
def test_what_the_model_fails_with_names_none(
    service: Running, tmp_path: Path, call: Callable[[Running], httpx.Response]
) -> None:
    def fail(_images: object) -> None:
        raise RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : {tmp_path}/bundle/embedder.onnx: no kernel")

    service.models.embedder.on_embed = fail
    service.query()
    answer = call(service)
    assert answer.status_code >= 500
    assert_no_path(answer, tmp_path)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left", "{}/gallery.sqlite"), GalleryError("{}/x: bad")]
)
def test_what_the_gallery_fails_with_names_none(
    service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise type(error)(*(str(part).format(tmp_path) for part in error.args))

    for name in ("get", "enroll", "enroll_many", "delete", "page", "image", "search_many", "count"):
        monkeypatch.setattr(service.gallery, name, fail, raising=False)
    for answer in (
        service.enroll(),
        service.query(),
        service.client.get("/gallery"),
        service.client.get("/gallery/a"),
        service.client.get("/gallery/a/image"),
        service.client.delete("/gallery/a"),
        service.client.get("/health/ready"),
    ):
        assert answer.status_code >= 500
        assert_no_path(answer, tmp_path)


def break_bundle(folder: Path) -> None:
    (folder / "bundle" / "embedder.onnx").write_bytes(b"NO MODEL")


def break_gallery(folder: Path) -> None:
    open_gallery(folder / "data").close()
    (folder / "data" / "gallery.sqlite").write_bytes(b"no database" * 1000)


def fill_by_another_model(folder: Path) -> None:
    open_gallery(folder / "data", fingerprint="e" * 64).close()


def break_audit_log(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "audit.jsonl").mkdir()


@pytest.mark.parametrize("harm", [break_bundle, break_gallery, fill_by_another_model, break_audit_log])
def test_a_start_that_fails_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(resources, "load_models", load_fakes)
    write_bundle(tmp_path / "bundle")
    harm(tmp_path)
    failed = threading.Event()
    settings = Settings(data_dir=tmp_path / "data", bundle=tmp_path / "bundle")
    app = create_app(settings, on_failure=failed.set)
    with serving(app) as url:
        assert failed.wait(20)
        for path in ("/health/ready", "/gallery"):
            response = httpx.get(url + path)
            assert response.status_code == 503
            assert_no_path(response, tmp_path)
        assert_no_path(httpx.post(url + "/query", files={"image": ("x", image_file())}), tmp_path)
    assert str(tmp_path) in str(app.state.lifecycle.failure), "the log and the command line name it"


def test_a_folder_where_nothing_can_be_written_is_not_named(tmp_path: Path) -> None:
    # An audit log that fails while the service runs.
    with running(tmp_path, audit_log=Path("/dev/full")) as it:
        answer = it.query()
        assert answer.status_code == 503
        assert_no_path(answer, tmp_path, Path("/dev/full"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/data/a b", "... b"),
        ("load /srv/x/y.onnx: no such file", "load ...: no such file"),
        ("'/data' is full", "'...' is full"),
        ("(~/models/a)", "(...)"),
        ("no key has the id 'cam1/0007.jpg'", "no key has the id 'cam1/0007.jpg'"),
        ("image/png, 1/2, and/or", "image/png, 1/2, and/or"),
        ("see https://a.example/b", "see https://a.example/b"),
    ],
)
def test_paths_are_left_out_and_ids_are_not(text: str, shown: str) -> None:
    assert without_paths(text) == shown
