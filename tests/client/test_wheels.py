"""The client comes by two wheels, and by its own it needs nothing of the service."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
USE = """
import sys
import httpx
from lka_reid_client import Client
service = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": "live"}))
with Client("http://x", transport=service) as client:
    print(client.live().status, {"service", "models", "index"} & sys.modules.keys())
"""


def needed(name: str, found: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """The files of a distribution and of what it needs."""
    if name not in found:
        one = distribution(name)
        found[name] = [Path(str(file)) for file in one.files or [] if ".." not in file.parts]
        for text in one.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed(requirement.name, found)
    return found


@pytest.mark.slow
def test_its_own_wheel_works_in_an_environment_with_httpx_and_pydantic_alone(tmp_path: Path) -> None:
    source, site = tmp_path / "client", tmp_path / "site"
    shutil.copytree(
        ROOT / "client", source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", *build, "--wheel-dir", tmp_path, source], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with ZipFile(wheel) as files:
        assert "lka_reid_client/py.typed" in files.namelist()
        files.extractall(site)
    for name, paths in {**needed("httpx", {}), **needed("pydantic", {})}.items():
        root = Path(str(distribution(name).locate_file("")))
        for path in paths:
            if (root / path).is_file() and path.suffix != ".pyc":
                (site / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / path, site / path)
    run = f"import sys; sys.path.insert(0, {str(site)!r})\n{USE}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", run], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout == "live set()\n"


def test_both_distributions_have_one_version_and_one_source() -> None:
    service, client = (
        tomllib.loads(path.read_text(encoding="utf-8"))
        for path in (ROOT / "pyproject.toml", ROOT / "client" / "pyproject.toml")
    )
    assert service["project"]["version"] == client["project"]["version"]
    assert sorted(client["project"]["dependencies"]) == ["httpx", "pydantic"]
    found = service["tool"]["setuptools"]["packages"]["find"]
    assert "client" in found["where"]
    assert "lka_reid_client*" in found["include"]
