"""Each answer tells browsers what not to do with it; /docs comes whole from the service itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.api.middleware.headers import HEADERS
from tests.service.access.holders import guarded
from tests.service.fakes import Running


@pytest.mark.parametrize("path", ["/health/live", "/gallery", "/no-such", "/gallery/no-such", "/metrics"])
def test_every_answer_has_them(shared_service: Running, path: str) -> None:
    headers = shared_service.client.get(path).headers
    for name, value in HEADERS.items():
        assert headers.get_list(name) == [value]


def test_a_refusal_has_them_too(tmp_path: Path) -> None:
    with guarded(tmp_path) as it:
        response = it.service.client.get("/gallery")
        assert response.status_code == 401
        assert response.headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items()


def test_an_image_stays_in_no_cache_and_in_no_other_sites_page(service: Running) -> None:
    service.enroll(image_id="a")
    headers = service.client.get("/gallery/a/image").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Content-Type"] == "image/png"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_documentation_needs_no_other_server(shared_service: Running) -> None:
    page = shared_service.client.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "://" not in page.text
    assert not re.search(r"<script(?![^>]*src=)|style=| on\w+=", page.text)
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 4
    for part in parts:
        assert part.startswith("docs/")
        response = shared_service.client.get("/" + part)
        assert response.status_code == 200
        assert response.headers["Content-Type"].split(";")[0] in ("text/css", "text/javascript", "image/png")
        assert "max-age" in response.headers["Cache-Control"]
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert '"openapi.json"' in shared_service.client.get("/docs/start.js").text


@pytest.mark.parametrize("name", ["__init__.py", "redoc.standalone.js", "..%2f__init__.py", "nothing"])
def test_the_documentation_has_these_files_alone(shared_service: Running, name: str) -> None:
    assert shared_service.client.get(f"/docs/{name}").status_code == 404


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_shows_the_documentation_under_its_policy(shared_service: Running, tmp_path: Path) -> None:
    browser = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=30000",
            "--dump-dom",
            shared_service.url + "/docs",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    for shown in ("/query", "/gallery/{image_id}", "Authorize"):
        assert shown in browser.stdout
    assert "Unable to render" not in browser.stdout
    assert "Content Security Policy" not in browser.stderr
