"""What all commands print."""

from __future__ import annotations

import pytest

from models.terminal import print_error


def test_control_characters_of_an_error_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("a [b] \x1b[2J\udce9\nc")
    assert capsys.readouterr().err == "Error: a [b] \\x1b[2J\\xe9\nc\n"
