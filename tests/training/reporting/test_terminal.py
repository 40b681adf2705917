"""Lines of a training fit a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from training.progress import CheckRow, EpochRow
from training.reporting.terminal import ConsoleReporter

LOSSES = {"cross_entropy": 6.123, "triplet": 0.712, "descriptor": 2.688, "strips": 1.1, "distillation": 0.01}


def lines_of(row: EpochRow | CheckRow) -> list[str]:
    file = io.StringIO()
    with ConsoleReporter(Console(file=file, width=300)) as reporter:
        reporter.started(130, 0)
        if isinstance(row, EpochRow):
            reporter.epoch(row)
        else:
            reporter.check(row)
    return [line for line in file.getvalue().splitlines() if line.strip()][1:]


def test_an_epoch_with_many_losses_is_broken_into_indented_lines() -> None:
    measured = {"mAP": 85.55, "R1": 97.97, "R5": 99.04}
    lines = lines_of(EpochRow(129, 130, 20_000, LOSSES, 1e-4, 1234.0, 60, 70.5, measured, {"kept": 0.5}))
    assert lines[0].startswith("epoch 129/130  ce 6.123  triplet 0.712")
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])
    text = "  ".join(line.strip() for line in lines)
    for wanted in ("distillation 0.010", "lr 1.0e-04", "1234 images/s", "70.5 GiB", "mAP 85.5", "kept 0.500"):
        assert wanted in text


def test_a_check_fits_80_columns() -> None:
    line, rest = lines_of(CheckRow(300, 600, 0.1234, 0.2345, 1e-5, 321.0, 5.0, 1.5))
    assert len(line) <= 80
    assert rest == "    left 0:00:00"
    assert line.startswith("step 300/600  loss 0.1234  validation 0.2345  lr 1.0e-05")
