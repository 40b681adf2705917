"""Words that depend on a number."""

from __future__ import annotations


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number and its noun, such as `1 image` and `1,200 images`.

    Args:
        number: how many.
        one: the noun of one, with its verb where that changes too.
        several: the same of any other number; None appends an s.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"
