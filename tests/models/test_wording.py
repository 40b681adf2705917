"""Words that depend on a number."""

from __future__ import annotations

import pytest

from models.wording import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1200, "1,200 images")]
)
def test_one_is_told_in_the_singular(number: int, words: str) -> None:
    assert counted(number, "image") == words


def test_a_verb_goes_with_the_number() -> None:
    assert [counted(number, "is", "are") for number in (1, 2)] == ["1 is", "2 are"]
