"""The terminal of all commands: results go to stdout, progress and errors to stderr."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from models.intake.names import printable

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_error(message: str) -> None:
    """Print an error as it is, however wide the terminal; control characters are escaped."""
    err.print(f"[bold red]Error:[/] {escape(printable(message))}", soft_wrap=True)
