"""The console's files come from the service alone, under a strict policy, and are asked for once."""

from __future__ import annotations

import re

import pytest

from service.console.assets import PAGE, Asset, assets
from tests.service.fakes import Running, running

URL = re.compile(r"""(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}|["'(]//""")
OWN = {"http://www.w3.org"}
"""SVG's namespace, which nobody asks for."""


def test_the_page_is_served_at_the_root_under_a_policy_without_inline_scripts(
    shared_service: Running,
) -> None:
    page = shared_service.client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
    assert directives["frame-ancestors"] == directives["base-uri"] == directives["form-action"] == "'none'"
    assert "unsafe" not in policy
    assert not re.search(r"<style|<script(?![^>]*src=)| style=| on\w+=", page.text)


def test_every_file_that_is_named_is_there_and_named_relative_to_the_page(shared_service: Running) -> None:
    page = shared_service.client.get("/").text
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert len(named) >= 7
    for name in named:
        assert name.startswith("console/")
        assert shared_service.client.get("/" + name).status_code == 200
    for file, asset in assets().items():
        text = asset.data.decode()
        if file.endswith(".js"):
            for module in re.findall(r'from "([^"]+)"', text):
                assert module.removeprefix("./") in assets(), f"{file} imports {module}"
        assert set(URL.findall(text)) <= OWN, file


@pytest.mark.parametrize("path", ["/", "/console/app.js"])
def test_a_file_that_is_known_is_not_sent_again(shared_service: Running, path: str) -> None:
    first = shared_service.client.get(path)
    assert first.headers["Cache-Control"] == "private, no-cache"
    for tags in (first.headers["ETag"], f'"other", W/{first.headers["ETag"]}', "*"):
        again = shared_service.client.get(path, headers={"If-None-Match": tags})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    assert shared_service.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_tag_is_of_the_bytes() -> None:
    assert Asset.of("a.js", b"1").etag != Asset.of("a.js", b"2").etag
    assert Asset.of("a.js", b"1").etag == Asset.of("b.css", b"1").etag


@pytest.mark.parametrize("name", ["__init__.py", "..%2froutes.py", "%2e%2e/routes.py", "nothing.js", ""])
def test_there_are_these_files_alone(shared_service: Running, name: str) -> None:
    assert shared_service.client.get(f"/console/{name}").status_code == 404
    assert PAGE in assets()


@pytest.mark.slow
def test_behind_a_prefix_the_page_is_found_below_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("prefixed"), root_path="/reid") as service:
        assert service.client.get("/reid/").text == service.client.get("/").text
        assert service.client.get("/reid/console/app.js").status_code == 200
