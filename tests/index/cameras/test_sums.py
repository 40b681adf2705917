"""Sums of descriptors are exact: nothing of what was subtracted is left, and a mean is as near as stated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.cameras.sums import MEAN_ERROR, Sums

DIM = 16


def descriptors(count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((count, DIM))
    unit: NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), gone=st.sets(st.integers(0, 29)))
def test_what_is_subtracted_in_any_order_leaves_no_bit_behind(seed: int, gone: set[int]) -> None:
    rows = descriptors(30, seed)
    sums = Sums.nothing(DIM)
    for row in np.random.default_rng(seed).permutation(30):
        sums += Sums.of(rows[row : row + 1])
    for row in gone:
        sums -= Sums.of(rows[row : row + 1])
    assert sums == Sums.of(np.delete(rows, sorted(gone), axis=0))


def test_mean_and_mean_square_are_within_the_stated_bound() -> None:
    rows = descriptors(1000)
    sums, wide = Sums.of(rows), rows.astype(np.float64)
    assert np.abs(sums.mean() - wide.mean(axis=0)).max() <= MEAN_ERROR + 1e-16
    second = sums.variance() + sums.mean() ** 2
    assert np.abs(second - (wide**2).mean(axis=0)).max() <= MEAN_ERROR + 1e-16


def test_sums_survive_their_bytes() -> None:
    sums = Sums.of(descriptors(3))
    assert Sums.from_bytes(3, sums.to_bytes()) == sums


def test_no_descriptors_have_no_mean() -> None:
    with pytest.raises(ZeroDivisionError, match="no descriptors"):
        Sums.nothing(DIM).mean()


def test_descriptors_that_are_all_alike_have_no_variance() -> None:
    assert not Sums.of(np.repeat(descriptors(1), 7, axis=0)).variance().max() > 3 * MEAN_ERROR
