"""The examples do what they say, against a running service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.service.fakes import GREEN, RED, Running, image_file

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RAN = {"search.py", "enroll_folder.py", "concurrent_queries.py"}


def run(name: str, *args: str) -> list[str]:
    command = [sys.executable, str(EXAMPLES / name), *args]
    paths = {"PYTHONPATH": str(ROOT / "client"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=paths, check=True, capture_output=True, text=True).stdout.splitlines()


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == RAN


def test_the_examples_enroll_and_search(service: Running, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "green.png").write_bytes(image_file(GREEN))
    (folder / "broken.png").write_bytes(b"no image")
    red = tmp_path / "red.png"
    red.write_bytes(image_file(RED))
    [line] = run("search.py", service.url, str(red), str(red))
    assert line.startswith("1 red.png 1.000")
    broken, green = sorted(run("enroll_folder.py", service.url, str(folder)))
    assert green == "green.png there"
    assert "not-an-image" in broken
    probes = [str(red), str(folder / "green.png")]
    assert run("concurrent_queries.py", service.url, *probes) == ["['red.png']", "['green.png']"]
