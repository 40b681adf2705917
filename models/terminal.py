"""The terminal of all commands: results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from models.intake.names import printable

JSON_HELP = "Print the outcome as JSON, and an error too, on stderr."
"""Of the option --json, which all commands have that end by themselves."""


class Terminal(Console):
    """A console that sends a terminal no control characters but its own.

    Text may be a server's, or a file's: what of it is not printable stands as JSON has it (`\\u001b`), so
    that JSON stays what it is.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is printed."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text.isprintable() or text == "\n":
                yield segment
            else:
                yield Segment("".join(map(_escaped, text)), segment.style)


out = Terminal(highlight=False)
err = Terminal(stderr=True, highlight=False)


def _escaped(one: str) -> str:
    return one if one.isprintable() or one in "\n\t" else json.dumps(one)[1:-1]


class TitledTable(Table):
    """A table whose title has the width of the terminal, not its own.

    Args:
        heading: above it; rich markup.
    """

    def __init__(self, heading: str, **style: Any) -> None:
        super().__init__(**style)
        self.heading = heading

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The title, an empty line, the table."""
        if self.heading:
            yield Text.from_markup(self.heading, style="bold")
        yield from super().__rich_console__(console, options)


class _Form:
    """How errors are printed by this process."""

    as_json = False


@contextmanager
def errors_as_json(wanted: bool) -> Iterator[None]:
    """Print errors as JSON meanwhile, or as lines."""
    before, _Form.as_json = _Form.as_json, wanted
    try:
        yield
    finally:
        _Form.as_json = before


def print_error(
    detail: str, remedy: str | None = None, *, kind: str, more: Mapping[str, Any] | None = None
) -> None:
    """Print an error in one line on stderr, however wide the terminal; control characters are escaped.

    Args:
        detail: what is wrong.
        remedy: what to do, where the detail does not end with it.
        kind: names what went wrong, for programs.
        more: further fields for programs, as JSON types.
    """
    if _Form.as_json:
        error = {"kind": kind, "detail": detail, "remedy": remedy, **(more or {})}
        err.print(json.dumps({"error": error}), markup=False, soft_wrap=True, emoji=False)
        return
    message = detail if remedy is None else f"{detail}; {remedy}"
    err.print(f"[bold red]Error:[/] {escape(printable(message))}", soft_wrap=True)


def kind_of(error: Exception) -> str:
    """The kind of an error that has none of its own: its class's name in lower case, with hyphens."""
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
