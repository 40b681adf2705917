"""What became of each image that was to be enrolled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """What became of an image."""

    enrolled = "enrolled"
    already = "already_enrolled"
    other_image = "other_image_enrolled"
    other_fields = "other_fields_enrolled"
    skipped = "skipped"
    failed = "failed"
    not_tried = "not_tried"


MISSING = frozenset({Fate.other_image, Fate.other_fields, Fate.failed, Fate.not_tried})
"""Where something that was given is not in the gallery as it was given."""


@dataclass(frozen=True, order=True)
class NotEnrolled:
    """An image, or what might be one, that was not enrolled.

    Attributes:
        place: its file, or the row that names it, as it may be printed.
        fate: what became of it.
        reason: why, in a few words.
    """

    place: str
    fate: Fate
    reason: str


@dataclass
class Outcome:
    """How the enrollment of many images went.

    Attributes:
        counts: images of each fate.
        not_enrolled: those that were not enrolled and are not there as given either.
        stopped: why the others were not tried; None where all were.
    """

    counts: Counter[Fate] = field(default_factory=Counter)
    not_enrolled: list[NotEnrolled] = field(default_factory=list)
    stopped: str | None = None

    def add(self, place: str, fate: Fate, reason: str = "") -> None:
        """Note what became of one image."""
        self.extend([NotEnrolled(place, fate, reason)])

    def extend(self, entries: Iterable[NotEnrolled]) -> None:
        """Note what became of several."""
        for entry in entries:
            self.counts[entry.fate] += 1
            if entry.fate not in (Fate.enrolled, Fate.already):
                self.not_enrolled.append(entry)

    def join(self, other: Outcome) -> None:
        """Take over what became of others."""
        self.counts += other.counts
        self.not_enrolled += other.not_enrolled
        self.stopped = self.stopped or other.stopped

    @property
    def missing(self) -> int:
        """Images that are not in the gallery as they were given."""
        return sum(self.counts[fate] for fate in MISSING)
