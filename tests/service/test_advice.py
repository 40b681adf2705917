"""What a message says to run can be pasted: the right program, folders and bundle, quoted."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from service import advice
from service.settings import Settings


def test_what_is_set_is_named_and_quoted() -> None:
    settings = Settings(data_dir=Path("my data"), bundle=Path("b2"))
    line = advice.command("gallery", "re-embed", settings=settings, options=("data_dir", "bundle"))
    assert shlex.split(line) == ["lka-reid", "gallery", "re-embed", "--data-dir", "my data", "--bundle", "b2"]


def test_what_has_its_default_is_left_out() -> None:
    line = advice.command("gallery", "re-embed", settings=Settings(), options=("data_dir", "bundle"))
    assert line == "lka-reid gallery re-embed"


def test_a_program_that_is_not_on_the_path_is_named_by_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "my bin", tmp_path / "bin"
    for folder in (here, there):
        folder.mkdir()
        shutil.copy("/bin/true", folder / "lka-reid")
    monkeypatch.setattr(sys, "argv", [str(here / "lka-reid"), "serve"])
    for path, expected in {
        str(here): "lka-reid",
        str(there): shlex.quote(str(here / "lka-reid")),
        "": shlex.quote(str(here / "lka-reid")),
    }.items():
        monkeypatch.setenv("PATH", path)
        assert advice.program() == expected
    monkeypatch.setattr(sys, "argv", ["-m", "serve"])
    assert advice.program() == "lka-reid"
