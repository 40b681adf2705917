"""The tables say which figure belongs to what, and leave out what was not measured."""

from __future__ import annotations

from rich.console import Console

from training.evaluation.shift.conditions import Kind
from training.evaluation.shift.findings import Difference, Row
from training.evaluation.shift.trial import Variant
from training.evaluation.significance import Interval
from training.reporting.shift_tables import figure_tables


def row(condition: str, variant: Variant, mean: float, embedder: str = "bundle") -> Row:
    figures = {name: Interval(mean, mean - 2, mean + 1) for name in ("R1", "R5", "mAP")}
    against = variant.against
    difference = Difference(against, Interval(1.5, -0.5, 3), 7, 2, 0.00012) if against else None
    return Row(Kind.seen, condition, embedder, variant, 1620, 81, 81, figures, difference)


def test_each_remedy_has_a_column_and_its_paired_difference() -> None:
    rows = [row("seen cameras", variant, 90 + n) for n, variant in enumerate(Variant)]
    first, second, third = (table.markdown() for table in figure_tables(rows))
    assert "| seen cameras | 1,620 | 81 | 90.0 (88.0-91.0) | 91.0 (89.0-92.0) | 92.0" in first
    assert "| 90.0 / 90.0 | 91.0 / 91.0 |" in second
    assert "| condition | queries | gallery | + cameras normalised | both stages |" in third
    assert "+1.5 (-0.5 to +3.0); 7 / 2; 1e-04" in third


def test_what_was_not_measured_is_left_out() -> None:
    rows = [
        row("classes", Variant.first, 22.5),
        row("classes", Variant.first, 37.0, "ImageNet ResNet-50"),
        row("seen cameras", Variant.first, 99),
        row("seen cameras", Variant.both, 98),
    ]
    first, *_ = (table.markdown() for table in figure_tables(rows))
    assert "cameras normalised" not in first
    assert "| classes, ImageNet ResNet-50 | 1,620 | 81 | 37.0 (35.0-38.0) |  |" in first
    only_first = figure_tables(rows[:2])
    assert len(only_first) == 2, "there is nothing to compare"


def test_a_narrow_terminal_cuts_no_figure_off() -> None:
    console = Console(width=70)
    with console.capture() as capture:
        for table in figure_tables([row("seen cameras", variant, 100) for variant in Variant]):
            console.print(table.terminal())
    assert "…" not in capture.get()
