"""The tables of a measurement before new cameras, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from models.terminal import TitledTable
from training.evaluation.shift.findings import Row
from training.evaluation.shift.trial import Variant
from training.evaluation.significance import Interval

HEADS = {
    Variant.first: "first stage",
    Variant.normalised: "+ cameras normalised",
    Variant.both: "both stages",
    Variant.both_normalised: "both, cameras normalised",
}


@dataclass(frozen=True)
class FigureTable:
    """A table of text.

    Attributes:
        title: what stands in it.
        head: of the columns; the first is the condition.
        lines: as many texts each.
    """

    title: str
    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As Markdown."""
        rule = f"|---|{'--:|' * (len(self.head) - 1)}"
        lines = [f"| {' | '.join(line)} |" for line in (self.head, *self.lines)]
        return "\n".join([f"{self.title}:", "", lines[0], rule, *lines[1:]])

    def terminal(self) -> Table:
        """For a terminal."""
        table = TitledTable(escape(self.title), box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column(self.head[0], overflow="fold")
        for name in self.head[1:]:
            table.add_column(name, justify="right", overflow="fold")
        for line in self.lines:
            table.add_row(*line)
        return table


def figure_tables(rows: Sequence[Row]) -> list[FigureTable]:
    """R1, then R5 and mAP, of each variant under each condition, and what each remedy changes."""
    variants = [variant for variant in Variant if any(row.variant is variant for row in rows)]
    conditions = list(dict.fromkeys((row.condition, row.embedder) for row in rows))
    found = {(row.condition, row.embedder, row.variant): row for row in rows}
    several = len({row.embedder for row in rows}) > 1

    def table(title: str, kinds: Sequence[Variant], cell: Callable[[Row], str]) -> FigureTable:
        lines = []
        for condition, embedder in conditions:
            own = {v: found[condition, embedder, v] for v in variants if (condition, embedder, v) in found}
            any_row = next(iter(own.values()))
            name = f"{condition}, {embedder}" if several else condition
            cells = [cell(own[v]) if v in own else "" for v in kinds]
            lines.append((name, f"{any_row.queries:,}", f"{any_row.gallery:,}", *cells))
        head = ("condition", "queries", "gallery", *(HEADS[v] for v in kinds))
        return FigureTable(title, head, tuple(lines))

    tables = [
        table("R1, with its 95 % interval over vehicles", variants, lambda row: _range(row.figures["R1"])),
        table(
            "R5 / mAP", variants, lambda row: f"{row.figures['R5'].mean:.1f} / {row.figures['mAP'].mean:.1f}"
        ),
    ]
    compared = [variant for variant in variants if variant.against is not None]
    if compared:
        title = (
            "R1 against the same without (cameras normalised: against the first stage; both stages: against "
            "the first stage with the same descriptors), in points; queries won / lost; McNemar's p"
        )
        tables.append(table(title, compared, _gain))
    return tables


def spread(values: Sequence[float], sign: str = "") -> str:
    """The mean of a figure over seeds and its standard deviation; one seed has none.

    Args:
        values: one a seed.
        sign: "+" for differences.
    """
    mean = f"{np.mean(values):{sign}.1f}"
    return f"{mean} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else mean


def _range(interval: Interval) -> str:
    return f"{interval.mean:.1f} ({interval.low:.1f}-{interval.high:.1f})"


def _gain(row: Row) -> str:
    found = row.difference
    if found is None:
        return ""
    gain = f"{found.R1.mean:+.1f} ({found.R1.low:+.1f} to {found.R1.high:+.1f})"
    return f"{gain}; {found.won} / {found.lost}; {_p(found.p)}"


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 0.001 else f"{value:.0e}"
