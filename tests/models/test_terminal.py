"""What all commands print."""

from __future__ import annotations

import json

import pytest

from models.terminal import errors_as_json, kind_of, print_error


def test_control_characters_of_an_error_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("a [b] \x1b[2J\udce9\nc", kind="any")
    assert capsys.readouterr().err == "Error: a [b] \\x1b[2J\\xe9\nc\n"


def test_an_error_for_programs_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    with errors_as_json(True):
        print_error("a [b] \x1b[2J\nc" + "d" * 200, "do this", kind="any", more={"vehicles": []})
    [line] = capsys.readouterr().err.splitlines()
    told = {"kind": "any", "detail": "a [b] \x1b[2J\nc" + "d" * 200, "remedy": "do this", "vehicles": []}
    assert json.loads(line) == {"error": told}
    print_error("after", kind="any")
    assert capsys.readouterr().err == "Error: after\n"


def test_an_error_without_a_kind_has_its_class_s() -> None:
    assert kind_of(FloatingPointError()) == "floating-point"
