"""What a check finds, and how it is shown."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from models.intake.names import shown
from training.datasets.image import VehicleImage

SHOWN_OF_A_KIND = 10


class Severity(StrEnum):
    """Whether figures measured on the data would be wrong, or just something is odd."""

    error = "error"
    warning = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a data set.

    Attributes:
        severity: an error makes the check fail.
        kind: a few words, the same for all findings of the kind.
        message: what exactly.
        path: of the image.
        row: the file and row that list it.
    """

    severity: Severity
    kind: str
    message: str
    path: str
    row: str

    @classmethod
    def of(cls, severity: Severity, kind: str, message: str, image: VehicleImage) -> Finding:
        """A finding about an image."""
        return cls(severity, kind, message, shown(image.path), shown(image.origin))


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether any finding is an error."""
    return any(finding.severity is Severity.error for finding in findings)


def findings_table(findings: Sequence[Finding], folder: Path) -> Table:
    """The findings, errors first, at most ten of a kind, paths below `folder` without it."""

    def short(text: str) -> str:
        return escape(text.replace(f"{folder}{os.sep}", ""))

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Findings", title_justify="left")
    for name in ("", "what", "where"):
        table.add_column(name, overflow="fold")
    totals = Counter((finding.severity, finding.kind) for finding in findings)
    shown: Counter[tuple[Severity, str]] = Counter()
    for finding in sorted(findings, key=lambda f: (f.severity is not Severity.error, f.kind)):
        key = (finding.severity, finding.kind)
        shown[key] += 1
        colour = "red" if finding.severity is Severity.error else "yellow"
        if shown[key] <= SHOWN_OF_A_KIND:
            # An image of a folder is its own row.
            where = "\n".join(dict.fromkeys(map(short, filter(None, (finding.path, finding.row)))))
            table.add_row(
                f"[{colour}]{finding.severity}[/]",
                f"{finding.kind}: {short(finding.message)}",
                where,
            )
        elif shown[key] == totals[key]:
            rest = totals[key] - SHOWN_OF_A_KIND
            table.add_row(
                f"[{colour}]{finding.severity}[/]",
                f"{finding.kind}: {rest:,} more (--json lists all)",
                "",
            )
    return table
