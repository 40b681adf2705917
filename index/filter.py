"""Which records a search may find."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Filter:
    """The records that a search is for; `ALL`, the one without conditions, is for the whole gallery.

    Each field is a condition, and None in it lets every record through; a record is found where it meets all
    of them. A filter is a value: hashable, and equal to another one with the same conditions, so that queries
    with equal filters may share a search. A gallery applies it inside the search: what it lets through is
    ranked as if nothing else were enrolled.
    """


ALL = Filter()
