"""docs/cli.md names the commands that there are, each as its help does."""

from __future__ import annotations

from typing import Any

import typer.main
from typer.core import TyperGroup

from service.cli import app
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "cli.md"


def all_commands() -> dict[str, Any]:
    """Every command, by what is typed for it; groups of packages, which repeat theirs, are left out."""
    root = typer.main.get_group(app)
    context = typer.Context(root, info_name="lka-reid")
    plugins = root._plugins()  # type: ignore[attr-defined]
    names = set(root.list_commands(context)) - plugins.keys()
    found: dict[str, Any] = {}
    groups = [("", root, names)]
    while groups:
        before, group, within = groups.pop()
        for name in within:
            command = group.get_command(context, name)
            if isinstance(command, TyperGroup):
                groups.append((f"{before}{name} ", command, set(command.list_commands(context))))
            else:
                found[before + name] = command
    return found


def row(name: str, command: Any) -> str:
    """A command's row of the table: the first paragraph of its help, and whether it takes --json."""
    first = " ".join((command.help or "").split("\n\n")[0].split()).replace("|", "\\|")
    takes_json = any("--json" in parameter.opts for parameter in command.params)
    return f"| `lka-reid {name}` | {first} | {'yes' if takes_json else ''} |"


def test_the_page_has_every_command_as_its_help_says() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    shown = [line for line in lines if line.startswith("| `lka-reid ")]
    assert shown == [row(name, command) for name, command in sorted(all_commands().items())]


def test_every_command_that_ends_by_itself_takes_json() -> None:
    without = {name for name, command in all_commands().items() if row(name, command).endswith("|  |")}
    assert without == {"demo", "serve", "worker"}


def test_commands_of_both_packages_are_compared() -> None:
    assert {"query", "gallery stats", "tune", "data check"} < all_commands().keys()


def test_a_command_that_is_new_or_says_something_else_is_noticed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert row("query", all_commands()["query"]) in page
    assert row("query", all_commands()["detect"]) not in page
