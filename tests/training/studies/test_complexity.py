from __future__ import annotations

import pytest

from models.shape import LKA_HCA, Branch, NetworkConfig, branches
from training.studies.complexity import multiply_accumulates


@pytest.mark.parametrize(
    ("rows", "giga"), [(LKA_HCA, 13.66), (branches("hca", "mhsa"), 14.20)], ids=["both", "+HCA"]
)
def test_multiply_accumulates_at_256_px_are_those_of_table_2(rows: tuple[Branch, ...], giga: float) -> None:
    assert multiply_accumulates(NetworkConfig(branches=rows)) / 1e9 == pytest.approx(giga, abs=0.01)
