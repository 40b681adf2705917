"""The examples do what they say, against a running service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.service.fakes import GREEN, RED, Running, image_file

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RAN = {"search.py", "enroll_folder.py", "concurrent_queries.py"}


def ended(name: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *args]
    paths = {"PYTHONPATH": str(ROOT / "client"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=paths, check=False, capture_output=True, text=True)


def run(name: str, *args: str) -> list[str]:
    outcome = ended(name, *args)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return outcome.stdout.splitlines()


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == RAN


def test_the_examples_enroll_and_search(service: Running, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "green.png").write_bytes(image_file(GREEN))
    red = tmp_path / "red.png"
    red.write_bytes(image_file(RED))
    [line] = run("search.py", service.url, str(red), str(red))
    assert line.startswith("1 red.png 1.000")
    assert run("search.py", service.url, str(red), str(red)) == [line]
    assert run("enroll_folder.py", service.url, str(folder)) == ["green.png there"]
    probes = [str(red), str(folder / "green.png")]
    assert run("concurrent_queries.py", service.url, *probes) == ["['red.png']", "['green.png']"]


def test_an_example_that_could_not_enroll_an_image_says_why_and_fails(
    service: Running, tmp_path: Path
) -> None:
    assert "holds no PNG" in ended("enroll_folder.py", service.url, str(tmp_path)).stderr
    (tmp_path / "green.JPEG").write_bytes(image_file(GREEN))
    (tmp_path / "broken.png").write_bytes(b"no image")
    outcome = ended("enroll_folder.py", service.url, str(tmp_path))
    broken, green = sorted(outcome.stdout.splitlines())
    assert (outcome.returncode, green) == (1, "green.JPEG there")
    assert broken.startswith("broken.png these 8 bytes are no image")


def test_an_example_without_its_arguments_shows_its_usage() -> None:
    for name in RAN:
        outcome = ended(name)
        assert outcome.returncode == 1
        assert outcome.stderr.startswith(("Enroll", "Search"))
        assert "Traceback" not in outcome.stderr
