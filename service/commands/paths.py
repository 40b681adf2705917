"""Paths on the command line: an empty one, as of a variable that is not set, is the current folder to Python.

What was meant is not known then, so it is refused, before anything is done in that folder.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any

import typer
from typer.core import TyperCommand

from service.settings.paths import holds_path

EMPTY = "the path is empty (is a variable of the shell not set?); say . for the current folder"


class PathCommand(TyperCommand):
    """A command that takes no empty path."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises:
            BadParameter: a path is empty.
        """
        if not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(list(args))
            parameter: Any
            for parameter in self.params:
                value = given.get(parameter.name)
                empty = value == "" or (isinstance(value, list | tuple) and "" in value)
                if empty and parameter.name in paths_of(self):
                    raise typer.BadParameter(EMPTY, ctx=ctx, param=parameter)
        return super().parse_args(ctx, args)


def paths_of(command: Any) -> set[str]:
    """Names of a command's parameters that are paths, by the types of its function."""
    types = typing.get_type_hints(inspect.unwrap(command.callback))
    return {name for name, annotation in types.items() if holds_path(annotation)}


def refuse_empty_paths(app: typer.Typer) -> None:
    """Have every command below an app, whose commands and groups have been added, take no empty path."""
    for command in app.registered_commands:
        command.cls = PathCommand if command.cls in (None, TyperCommand) else command.cls
    for group in app.registered_groups:
        if isinstance(group.typer_instance, typer.Typer):
            refuse_empty_paths(group.typer_instance)
