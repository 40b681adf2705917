"""The documentation as a site: built strictly, with every page in it, and nothing loaded from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.docs.pages import ROOT

LOADED = re.compile(r"""(?:<script[^>]*\ssrc|<link[^>]*\shref|<img[^>]*\ssrc)=["']?(https?:)?//""")

LINK = re.compile(r"""(?:href|src)=["']?([^"' >]+)""")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("of_root", "on_the_site"),
    [
        ("[a](docs/gpu.md#why)", "[a](gpu.md#why)"),
        ("![a](docs/a.png)", "![a](a.png)"),
        ("[a](CHANGELOG.md)", "[a](changelog.md)"),
        ("[a](configs/own.yaml)", "`configs/own.yaml`"),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("[a](#below)", "[a](#below)"),
    ],
)
def test_links_of_the_roots_files_lead_to_pages(hooks: ModuleType, of_root: str, on_the_site: str) -> None:
    assert hooks.of_root(of_root) == on_the_site


@pytest.mark.parametrize(
    ("of_docs", "on_the_site"),
    [
        ("[a](../README.md)", "[a](index.md)"),
        ("[a](../CONTRIBUTING.md#rooms)", "[a](contributing.md#rooms)"),
        ("[a](gpu.md)", "[a](gpu.md)"),
        ("[a](../training/cli.py)", "`training/cli.py`"),
    ],
)
def test_links_of_docs_to_the_root_lead_to_pages(hooks: ModuleType, of_docs: str, on_the_site: str) -> None:
    assert hooks.on_page_markdown(of_docs) == on_the_site


def test_the_page_of_routes_has_every_route_of_the_interface(hooks: ModuleType) -> None:
    document = create_app(Settings()).openapi()
    page = hooks.routes(document)
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"\n### {method.upper()} {path}\n" in page
    assert "| `image` | multipart/form-data | file |" in page


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    # A page that mkdocs.yml does not name is such a warning, and so is a link that leads nowhere.
    assert built.returncode == 0, built.stdout + built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").glob("*.md")))
    elsewhere = {str(page) for page in pages if LOADED.search(page.read_text(encoding="utf-8"))}
    assert not elsewhere
    # The build lets a link pass that leads to a file which the site leaves out.
    dead = {f"{page}: {link}" for page in pages if page.name != "404.html" for link in dead_links(page)}
    assert not dead


def dead_links(page: Path) -> Iterator[str]:
    """Links of a page of the site to files that are not there."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        target = urlsplit(link)
        if target.scheme or target.netloc or not target.path:
            continue
        file = page.parent / unquote(target.path)
        if not (file / "index.html" if file.is_dir() else file).exists():
            yield link
