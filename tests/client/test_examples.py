"""The examples do what they say, against a running service."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service.fakes import GREEN, RED, Running, image_file

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RAN = {"search.py", "enroll_folder.py", "concurrent_queries.py"}


def ended(name: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *args]
    paths = {"PYTHONPATH": str(ROOT / "client"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=paths, check=False, capture_output=True, text=True)


def code_lines(path: Path) -> list[str]:
    """Lines of a program but its text and those that are blank."""
    text = ast.parse(path.read_text()).body[0]
    return [line for line in path.read_text().splitlines()[text.end_lineno :] if line.strip()]


def run(name: str, *args: str) -> list[str]:
    outcome = ended(name, *args)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    return outcome.stdout.splitlines()


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == RAN


def test_an_example_is_as_short_as_a_reader_hopes() -> None:
    counted = {path.name: len(code_lines(path)) for path in EXAMPLES.glob("*.py")}
    assert max(counted.values()) <= 12, counted


@pytest.mark.slow
def test_the_examples_enroll_and_search(service: Running, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "green.png").write_bytes(image_file(GREEN))
    red = tmp_path / "red.png"
    red.write_bytes(image_file(RED))
    assert service.enroll(image_file(RED), image_id="red.png").status_code == 201
    for _ in range(2):  # what is there already is there
        assert run("enroll_folder.py", service.url, str(folder)) == ["green.png there"]
    assert run("search.py", service.url, str(red))[0] == "1 red.png 1.000"
    probes = [str(red), str(folder / "green.png")]
    assert run("concurrent_queries.py", service.url, *probes) == ["['red.png']", "['green.png']"]


@pytest.mark.slow
def test_an_example_that_could_not_enroll_an_image_says_why_and_fails(
    service: Running, tmp_path: Path
) -> None:
    assert "no image is below" in ended("enroll_folder.py", service.url, str(tmp_path)).stderr
    (tmp_path / "green.JPEG").write_bytes(image_file(GREEN))
    (tmp_path / "broken.png").write_bytes(b"no image")
    outcome = ended("enroll_folder.py", service.url, str(tmp_path))
    broken, green = sorted(outcome.stdout.splitlines())
    assert (outcome.returncode, green) == (1, "green.JPEG there")
    assert broken.startswith("broken.png these 8 bytes are no image")


@pytest.mark.slow
def test_an_example_without_its_arguments_shows_its_usage() -> None:
    for name in RAN:
        outcome = ended(name)
        assert outcome.returncode == 1
        assert outcome.stderr.startswith(("Enroll", "Search"))
        assert "Traceback" not in outcome.stderr


def test_the_notebook_s_cells_run_in_order_and_show_what_their_texts_say(
    service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, colour in {"green.png": GREEN, "red.png": RED}.items():
        (tmp_path / name).write_bytes(image_file(colour))
    monkeypatch.setenv("LKA_REID_URL", service.url)
    monkeypatch.delenv("LKA_REID_KEY", raising=False)
    monkeypatch.setenv("LKA_REID_IMAGES", str(tmp_path))
    notebook = json.loads((EXAMPLES / "client.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    names: dict[str, Any] = {}
    shown = {cell["id"]: value_of("".join(cell["source"]), names) for cell in cells}
    assert shown["connect"] == "fake"
    assert shown["enroll"] == [("green.png", True), ("red.png", True)]
    assert shown["query"][0] == (1, "green.png", 1.0)
    assert [image_id for _, image_id, _ in shown["query"]] == ["green.png", "red.png"]
    assert shown["verdict"] == ["green.png"]
    is_no_image, words = shown["refused"]
    assert is_no_image
    assert words.startswith("these 8 bytes are no image")
    assert service.gallery.count() == 2
    assert service.client.get("/verdicts").json()["verdicts"] == []


def value_of(source: str, names: dict[str, Any]) -> Any:
    """Run a cell, and give the value of its last line, which a notebook shows."""
    *before, last = ast.parse(source).body
    exec(compile(ast.Module(before, []), "cell", "exec"), names)  # noqa: S102 - the project's own
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307
