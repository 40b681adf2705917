from __future__ import annotations

import io

import pytest
from rich.console import Console

from training.studies.table2 import ROWS, Cost, costs, summary_table


@pytest.fixture(scope="module")
def table() -> list[Cost]:
    return costs()


def test_every_row_has_the_mixers_of_table_2() -> None:
    mixers = {row: [branch.mixer for branch in own] for row, own in ROWS.items()}
    assert mixers == {
        "baseline": ["conv", "conv", "mhsa", "mhsa"],
        "lka": ["conv", "conv", "lka", "lka"],
        "hca": ["hca", "hca", "mhsa", "mhsa"],
        "both": ["lka", "lka", "hca", "hca"],
    }


@pytest.mark.slow
def test_the_rows_are_those_of_table_2_to_the_single_parameter(table: list[Cost]) -> None:
    assert {cost.name: cost.parameters for cost in table} == {
        "baseline (MBR-4B)": 61_448_256,
        "+ LKA": 61_577_280,
        "+ HCA": 47_292_564,
        "+ LKA + HCA": 47_421_588,
    }


@pytest.mark.slow
def test_multiply_accumulates_are_our_own_count(table: list[Cost]) -> None:
    giga = {cost.name: cost.multiply_accumulates / 1e9 for cost in table}
    assert giga["+ HCA"] == pytest.approx(14.20, abs=0.01)
    assert giga["+ LKA + HCA"] == pytest.approx(13.66, abs=0.01)
    assert giga["baseline (MBR-4B)"] == pytest.approx(17.8, abs=0.1)
    assert giga["+ LKA"] == pytest.approx(17.3, abs=0.1)


@pytest.mark.slow
def test_the_summary_fits_a_terminal_and_says_every_row(table: list[Cost]) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(summary_table(table))
    said = console.export_text()
    for wanted in ("lka, lka, hca, hca", "47,421,588", "13.66"):
        assert wanted in said
