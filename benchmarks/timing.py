"""Timed repetitions of one thing, and the table of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table


@dataclass(frozen=True)
class Timing:
    """What one thing took.

    Attributes:
        name: of what was timed.
        batch: probes in one repetition.
        milliseconds: of one probe, that is of a repetition divided by its batch; one value a repetition.
        raw: the timing that this one is to be seen beside, or None.
    """

    name: str
    batch: int
    milliseconds: list[float] = field(default_factory=list)
    raw: Timing | None = None

    @property
    def p50(self) -> float:
        """Median, in ms a probe."""
        return float(np.median(self.milliseconds)) if self.milliseconds else math.nan

    @property
    def least(self) -> float:
        """The quickest repetition, in ms a probe: what the machine does when nobody else is on it."""
        return min(self.milliseconds, default=math.nan)

    @property
    def p95(self) -> float:
        """95th percentile, in ms a probe."""
        return float(np.percentile(self.milliseconds, 95)) if self.milliseconds else math.nan

    @property
    def ratio(self) -> float | None:
        """Median beside the raw part's."""
        return None if self.raw is None else self.p50 / self.raw.p50

    def add(self, seconds: float) -> None:
        """One more repetition."""
        self.milliseconds.append(1000 * seconds / self.batch)

    def as_json(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "name": self.name,
            "batch": self.batch,
            "repetitions": len(self.milliseconds),
            "least_ms": self.least,
            "p50_ms": self.p50,
            "p95_ms": self.p95,
            "raw": None if self.raw is None else {"name": self.raw.name, "batch": self.raw.batch},
            "ratio": self.ratio,
        }


def table(title: str, timings: Sequence[Timing], raw: str) -> Table:
    """Milliseconds a probe, and beside which raw part the ratios stand."""
    caption = f"ms a probe; ratio: median / that of {raw}"
    made = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    made.add_column("", no_wrap=True)
    for column in ("batch", "least ms", "p50 ms", "p95 ms", "ratio"):
        made.add_column(column, justify="right")
    for timing in timings:
        beside = "" if timing.ratio is None else f"{timing.ratio:#.3g}"
        times = (f"{value:#.3g}" for value in (timing.least, timing.p50, timing.p95))
        made.add_row(timing.name, str(timing.batch), *times, beside)
    return made
