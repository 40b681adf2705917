from __future__ import annotations

import io

import pytest
from rich.console import Console

from training.studies.vit_table import vit_costs, vit_table


@pytest.mark.slow
def test_the_table_counts_a_network_as_by_hand_and_says_whose_dimensions_they_are() -> None:
    rows = {row.name: row for row in vit_costs()}
    assert len(rows) == 12
    base = rows["ViT-LKCA base"]
    dim, tokens, depth = 210, 64, 10
    block = 6 * dim * dim * tokens + tokens * tokens * dim
    norms = 2 * (2 * depth + 1) * tokens * dim
    assert base.multiply_accumulates == depth * block + 48 * dim * tokens + 10 * dim + norms
    assert base.given
    assert not rows["ViT-LKCA 4M"].given
    stream = io.StringIO()
    Console(file=stream, width=80).print(vit_table(list(rows.values())))
    text = stream.getvalue()
    assert "2,691,310" in text
    assert "ViT-LKCA 0.5M *" in text
    assert all(len(line) <= 80 for line in text.splitlines())
