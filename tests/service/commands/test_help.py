"""The help of every command is whole at 80 columns, and the same on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer import rich_utils

from tests.service.command_tree import all_commands

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_no_word_is_cropped_and_no_folder_of_the_machine_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", 80)
    monkeypatch.setattr(rich_utils, "COLOR_SYSTEM", None)
    shown: dict[str, str] = {}
    for name, command in all_commands(unlisted=True).items():
        with pytest.raises(typer.Exit):
            command.make_context(f"lka-reid {name}", ["--help"])
        shown[name] = capsys.readouterr().out
    assert "Usage: lka-reid query [OPTIONS]" in shown["query"]
    assert max(map(len, shown["query"].splitlines())) == 80
    cropped = {name: line for name, text in shown.items() for line in text.splitlines() if "…" in line}
    assert cropped == {}
    assert [name for name, text in shown.items() if str(ROOT) in text] == []
