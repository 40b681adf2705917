"""What all commands print."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table
from rich.text import Text

from models.terminal import Terminal, err, errors_as_json, kind_of, out, print_error


def test_control_characters_of_an_error_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("a [b] \x1b[2J\udce9\nc", kind="any")
    assert capsys.readouterr().err == "Error: a [b] \\x1b[2J\\xe9\nc\n"


def test_an_error_for_programs_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    with errors_as_json(True):
        print_error("a [b] \x1b[2J\nc" + "d" * 200, "do this", kind="any", more={"vehicles": []})
    [line] = capsys.readouterr().err.splitlines()
    error = {"kind": "any", "detail": "a [b] \x1b[2J\nc" + "d" * 200, "remedy": "do this", "vehicles": []}
    assert json.loads(line) == {"error": error}
    print_error("after", kind="any")
    assert capsys.readouterr().err == "Error: after\n"


def test_an_error_without_a_kind_has_its_class_s() -> None:
    assert kind_of(FloatingPointError()) == "floating-point"


def test_text_of_any_origin_sends_the_terminal_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "a\x1b]0;mine\x07\x1b[2J\r\x9b2J\u202eb\udcff"
    table = Table("name", title=f"of {evil}")
    table.add_row(evil)
    table.add_row(Text(evil, style="bold"))
    for console in (out, err):
        console.print(table)
        console.print(f"[bold]{evil}[/]", soft_wrap=True)
        console.print_json(data={"größer": evil})
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert all(line.isprintable() for line in text.splitlines())
        assert "größer" in text
        assert text.count("\\u001b]0;mine") >= 4
        assert json.loads(text[text.index("{") :]) == {"größer": evil}


def test_what_a_console_itself_sends_stays() -> None:
    sent = io.StringIO()
    console = Terminal(file=sent, force_terminal=True, color_system="standard", _environ={})
    console.print("[bold]a[/]\tb")
    console.show_cursor(show=False)
    assert sent.getvalue().startswith("\x1b[1ma\x1b[0m")
    assert "\x1b[?25l" in sent.getvalue()
