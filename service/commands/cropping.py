"""Long names in tables: cropped in the middle, for both ends tell most of an image id."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from models.intake.names import printable

ELLIPSIS = "…"
LEAST = 8
"""Characters that a cell asks for at least; a terminal that is narrower still crops more."""


def cropped(text: str, width: int) -> str:
    """The text where it fits, and else its two ends about an ellipsis, `width` cells together.

    Args:
        text: of any length.
        width: cells of the terminal, 1 or more; some characters take two.
    """
    if cell_len(text) <= width:
        return text
    kept = width - 1
    # More of the end: a path ends in the file's name.
    tail = set_cell_size(text[::-1], kept * 3 // 5)[::-1].lstrip() if kept > 1 else ""
    return f"{set_cell_size(text, kept - cell_len(tail)).rstrip()}{ELLIPSIS}{tail}"


@dataclass(frozen=True)
class Cropped:
    """A cell of a table with a name of one line, cropped to the width that the table has for it.

    Args:
        name: as it is, no markup; control characters are escaped.
        mark: after it, never cropped.
    """

    name: str
    mark: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One line."""
        left = max(1, options.max_width - cell_len(self.mark))
        yield Text(cropped(printable(self.name), left) + self.mark, no_wrap=True, overflow="crop")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """All of it, or LEAST where there is less room."""
        whole = cell_len(printable(self.name) + self.mark)
        return Measurement(min(LEAST, whole), whole).with_maximum(options.max_width)
