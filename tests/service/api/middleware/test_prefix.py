"""Behind a reverse proxy that adds a path prefix, every path that an answer names begins with it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

import pytest

from service.settings import SettingsError, load_settings
from tests.service.access.holders import guarded
from tests.service.fakes import image_file, running


@pytest.mark.parametrize("asked", ["", "/reid"], ids=["stripped", "passed on"])
def test_paths_in_answers_begin_with_the_prefix(tmp_path: Path, asked: str) -> None:
    with running(tmp_path, root_path="/reid") as service:
        files = {"image": ("x", image_file())}
        made = service.client.post(asked + "/gallery", files=files, data={"image_id": "cam 1/a"})
        assert made.status_code == 201
        assert made.headers["Location"] == "/reid/gallery/cam%201/a"
        assert service.client.get(asked + "/gallery/cam 1/a").status_code == 200
        assert service.client.get(asked + "/").headers["Content-Type"].startswith("text/html")
        assert service.client.get(asked + "/openapi.json").json()["servers"] == [{"url": "/reid"}]
        problem = service.client.get(asked + "/gallery/none").json()
        assert problem["instance"] == "/reid/gallery/none"
        assert service.client.get(asked + "/gallery?colour=red").status_code == 422
        assert service.client.head(asked + "/docs/start.js").status_code == 200


def test_without_one_a_path_stands_as_it_is(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        made = service.client.post("/gallery", files={"image": ("x", image_file())}, data={"image_id": "a"})
        assert urljoin(service.url + "/gallery", made.headers["Location"]) == service.url + "/gallery/a"
        assert "servers" not in service.client.get("/openapi.json").json()
        assert service.client.get("/reid/gallery").status_code == 404


@pytest.mark.parametrize("asked", ["/v1", "/reid/v1"], ids=["stripped", "passed on"])
def test_the_interface_is_there_under_its_version_too(tmp_path: Path, asked: str) -> None:
    with running(tmp_path, root_path="/reid") as service:
        files = {"image": ("x", image_file())}
        made = service.client.post(asked + "/gallery", files=files, data={"image_id": "cam 1/a"})
        assert (made.status_code, made.headers["Location"]) == (201, "/reid/v1/gallery/cam%201/a")
        assert service.client.get(asked + "/gallery/cam 1/a").json() == made.json()
        assert service.client.get(asked + "/gallery/none").json()["instance"] == "/reid/v1/gallery/none"
        assert service.client.get(asked + "/gallery?colour=red").status_code == 422
        assert service.client.head(asked + "/health/live").status_code == 200
        counted = service.client.get(asked + "/metrics").text
        assert 'route="/gallery/{image_id:path}"' in counted
        assert 'route="/v1' not in counted
        for other in ("/v1/v1/gallery", "/v1", "/v1/", "/v1/console/app.js", "/v10/gallery"):
            assert service.client.get(other).status_code == 404


def test_a_versions_path_needs_the_key_and_scope_of_its_route(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        assert it.service.client.get("/v1/gallery").status_code == 401
        assert it.service.client.get("/v1/gallery", headers=it.headers("query")).status_code == 403
        assert it.service.client.get("/v1/gallery", headers=it.headers("admin")).status_code == 200
        assert it.service.client.get("/v1/health/live").status_code == 200


@pytest.mark.parametrize("value", ["reid", "/reid/", "/", "/a b", "//", "/a?b", "https://a.example/reid"])
def test_what_is_no_prefix_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="it takes a path without a slash at its end, such as /reid"):
        load_settings(root_path=value)
    assert load_settings(root_path="/a/b-c").root_path == "/a/b-c"
