"""docs/cli.md names the commands that there are, each as its help does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.service.command_tree import all_commands, takes_json

PAGE = ROOT / "docs" / "cli.md"


def row(name: str, command: Any) -> str:
    """A command's row of the table: the first paragraph of its help, and whether it takes --json."""
    first = " ".join((command.help or "").split("\n\n")[0].split()).replace("|", "\\|")
    return f"| `lka-reid {name}` | {first} | {'yes' if takes_json(command) else ''} |"


@pytest.mark.slow
def test_the_page_has_every_command_as_its_help_says() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    shown = [line for line in lines if line.startswith("| `lka-reid ")]
    assert shown == [row(name, command) for name, command in sorted(all_commands(unlisted=False).items())]


def test_commands_of_both_packages_are_compared() -> None:
    assert {"query", "gallery stats", "tune", "data check"} < all_commands(unlisted=False).keys()


def test_a_command_that_is_new_or_says_something_else_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert row("query", all_commands(unlisted=False)["query"]) in page
    assert row("query", all_commands(unlisted=False)["detect"]) not in page
