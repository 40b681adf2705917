"""A configuration that was chosen, as a table with reasons."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from models.terminal import TitledTable
from training.tuning.choices import Choice


def choices_table(choices: Sequence[Choice], title: str) -> Table:
    """Key, value and reason of each choice that has one."""
    table = TitledTable(escape(title), box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("key", "value", "why"):
        table.add_column(name, overflow="fold")
    for choice in choices:
        if choice.why:
            table.add_row(choice.key, escape(str(choice.value)), escape(choice.why))
    return table
