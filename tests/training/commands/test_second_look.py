"""`lka-reid study-second-look` refuses what it cannot compare, before anything is embedded."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from tests.training.bundles import write_colour_bundle
from training.cli import app


def run(tmp_path: Path, *words: str) -> str:
    given = ("--data", str(tmp_path), "--synthetic", str(tmp_path), *words)
    found = CliRunner().invoke(app, ["study-second-look", *given], env={"COLUMNS": "200"})
    assert found.exit_code == 2
    return found.output


def test_a_bundle_without_a_grid_of_parts_is_refused(tmp_path: Path) -> None:
    bundle = write_colour_bundle(tmp_path / "bundle")
    assert "gives parts None" in run(tmp_path, "--bundle", str(bundle))


def test_a_size_that_the_grid_does_not_divide_is_refused(tmp_path: Path) -> None:
    assert "a multiple of 128" in run(tmp_path, "--side", "200")
