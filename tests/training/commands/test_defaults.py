"""What a command writes without being told where lies in the current folder, not in what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from models.bundle import DEFAULT_BUNDLE
from tests.service.command_line import Command, command_runner
from tests.training.bundles import write_colour_bundle
from training.cli import app

WRITTEN = {"out", "plot", "output", "folder", "sheet", "text", "figures"}


def options(command: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(command, TyperGroup):
        return [pair for key, inner in command.commands.items() for pair in options(inner, f"{name} {key}")]
    return [(f"{name} --{each.name}", each.default) for each in command.params if each.name in WRITTEN]


def test_no_default_of_what_is_written_lies_in_the_package_or_the_docs() -> None:
    found = [pair for pair in options(typer.main.get_group(app)) if isinstance(pair[1], str | Path)]
    assert len(found) > 8
    for name, default in found:
        assert not Path(default).is_absolute(), name
        assert Path(default).parts[0] not in {"docs", "models", "service", "training", "configs"}, name


@pytest.mark.slow
def test_the_installed_bundle_gets_a_threshold_only_where_that_is_asked_for(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command: Command = command_runner(monkeypatch, capsys)
    installed = write_colour_bundle(tmp_path / "installed")
    monkeypatch.setattr("training.commands.calibrate.BUNDLE", installed)
    manifest = installed / "manifest.json"
    before = manifest.read_bytes()
    words = [
        "--data",
        tree,
        "--false-match-rate",
        0.2,
        "--plot",
        tmp_path / "plot.png",
        "--bundle",
        installed,
    ]
    outcome = command("calibrate", *words)
    assert outcome.code == 0, outcome.err
    assert "left as it is" in outcome.out
    assert manifest.read_bytes() == before
    assert command("calibrate", *words, "--write").code == 0
    assert manifest.read_bytes() != before
    assert DEFAULT_BUNDLE.is_dir()
