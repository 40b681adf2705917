"""No command takes an empty path, which would be the current folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from service.commands.paths import EMPTY
from tests.service.command_line import Command, command_runner
from tests.service.command_tree import all_commands
from tests.service.fakes import RED, image_file


def paths() -> list[tuple[str, Any, str]]:
    """Every command, and each of its parameters that the framework makes a path of."""
    return [
        (name, command, parameter.opts[0] if parameter.param_type_name == "option" else "")
        for name, command in all_commands(unlisted=True).items()
        for parameter in command.params
        if "Path" in str(parameter.type_descriptor.annotation)
    ]


def test_every_path_of_every_command_is_refused_where_it_is_empty() -> None:
    found = paths()
    assert {"enroll", "query", "gallery restore", "serve", "study", "train embedder"} < {
        name for name, _, _ in found
    }
    for name, command, option in found:
        with pytest.raises(typer.BadParameter, match="the path is empty"):
            command.make_context(name, [option, ""] if option else ["", ""])


@pytest.mark.slow
def test_what_is_no_path_may_be_empty_and_a_completion_is_not_disturbed() -> None:
    enroll = all_commands(unlisted=False)["enroll"]
    context = enroll.make_context("enroll", ["folder", "--id-prefix", ""])
    assert (context.params["paths"], context.params["id_prefix"]) == ([Path("folder")], "")
    assert enroll.make_context("enroll", ["."]).params["paths"] == [Path()]
    assert enroll.make_context("enroll", [""], resilient_parsing=True).params["paths"] == [Path()]


def test_nothing_of_the_current_folder_is_enrolled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "car.png").write_bytes(image_file(RED))
    monkeypatch.chdir(tmp_path)
    lka_reid: Command = command_runner(monkeypatch, capsys)
    refused = lka_reid("enroll", "", "--dry-run", "--json")
    assert (refused.code, refused.out, EMPTY in refused.err) == (2, "", True)
    assert lka_reid("enroll", ".", "--dry-run", "--json").code == 0
