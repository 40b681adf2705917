"""How the enrollment of many images went, as a table of what is missing and a count of everything."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from models.intake.names import printable
from service.commands.console import table
from service.remote.outcome import Fate, NotEnrolled, Outcome

LABELS = {
    Fate.enrolled: "enrolled",
    Fate.already: "already there, as given",
    Fate.other_image: "there with another image",
    Fate.other_fields: "there with other fields",
    Fate.skipped: "skipped",
    Fate.failed: "failed",
    Fate.not_tried: "not tried",
}
REMEDIES = {
    Fate.other_image: "Another image has the id already: give these ids of their own with --id-prefix, or "
    "delete the enrolled ones.",
    Fate.other_fields: "`lka-reid gallery update` changes what is known of an enrolled image.",
    Fate.not_tried: "Run the same command again to go on.",
}
SHOWN_OF_A_KIND = 10
# In reasons of a kind: what they quote, and numbers.
_WHAT_DIFFERS = re.compile(r"'[^']*'|[0-9]+")


def not_enrolled_table(outcome: Outcome) -> Table:
    """What is missing and why, at most SHOWN_OF_A_KIND for one reason; then what was skipped."""
    groups: dict[str, list[NotEnrolled]] = defaultdict(list)
    for entry in sorted(outcome.not_enrolled):
        if entry.fate is not Fate.not_tried:
            groups[_WHAT_DIFFERS.sub("", entry.reason)].append(entry)
    made = table("Not enrolled", "", "what", "why")
    for entries in sorted(groups.values(), key=lambda entries: entries[0].fate is Fate.skipped):
        skipped = entries[0].fate is Fate.skipped
        shown = entries[: 1 if skipped else SHOWN_OF_A_KIND]
        more = len(entries) - len(shown)
        word = "[yellow]skipped[/]" if skipped else "[red]missing[/]"
        previous = None
        for entry in shown:
            last = f" and {more:,} more" if skipped and more else ""
            why = "" if entry.reason == previous else escape(printable(entry.reason))
            made.add_row(word, escape(printable(entry.place)) + last, why)
            previous = entry.reason
        if more and not skipped:
            made.add_row(word, f"and {more:,} more (--json lists all)", "")
    return made


def counts(outcome: Outcome, *, dry_run: bool = False) -> str:
    """Every count on a line of its own, and what can be done about what is missing."""
    labels = LABELS | ({Fate.enrolled: "could be enrolled"} if dry_run else {})
    always = (Fate.enrolled, Fate.failed) if dry_run else (Fate.enrolled, Fate.already, Fate.failed)
    shown = [fate for fate in labels if outcome.counts[fate] or fate in always]
    width = max(len(labels[fate]) for fate in shown)
    figures = {fate: f"{outcome.counts[fate]:,}" for fate in shown}
    digits = max(map(len, figures.values()))
    lines = [f"{labels[fate]:<{width}}  {figures[fate]:>{digits}}" for fate in shown]
    remedies = [remedy for fate, remedy in REMEDIES.items() if outcome.counts[fate]]
    return "\n".join([*lines, *remedies])


def as_json(outcome: Outcome, unread: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """All of it, as JSON types."""
    return {
        "counts": {fate.value: outcome.counts[fate] for fate in Fate},
        "stopped": outcome.stopped,
        "unread_columns": {path: list(names) for path, names in unread.items()},
        "not_enrolled": [
            {"what": entry.place, "fate": entry.fate.value, "reason": entry.reason}
            for entry in sorted(outcome.not_enrolled)
        ],
    }
