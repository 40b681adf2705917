"""Every command of `lka-reid`, also of other packages."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer.main
from typer.core import TyperGroup

from service.cli import app


@cache
def all_commands(*, unlisted: bool) -> dict[str, Any]:
    """Every command, by what is typed for it at the top level.

    Args:
        unlisted: those too that the top level's help does not list, but that of their package alone.
    """
    root = typer.main.get_group(app)
    context = typer.Context(root, info_name="lka-reid")
    plugins = root._plugins()  # type: ignore[attr-defined]
    names = set(root.list_commands(context)) - plugins.keys()
    if unlisted:
        names.update(*(plugin.list_commands(context) for plugin in plugins.values()))
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


def takes_json(command: Any) -> bool:
    """Whether a command has the option `--json`."""
    return any("--json" in parameter.opts for parameter in command.params)
