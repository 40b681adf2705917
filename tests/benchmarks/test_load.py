"""The benchmark under load: when an open loop asks, and the perfect queue that it is held against."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.loops import random_moments, steady_moments
from benchmarks.queueing import perfect_queue

ONE_TO_THREE = {1: [10.0], 2: [18.0], 3: [25.0]}


def test_steady_moments_are_evenly_spaced() -> None:
    moments = steady_moments(rate=4, seconds=2.5)
    assert len(moments) == 10
    assert np.diff(moments) == pytest.approx([0.25] * 9)


def test_random_moments_come_at_the_wanted_rate_and_repeat_under_a_seed() -> None:
    moments = random_moments(rate=50, seconds=100)
    assert moments == sorted(moments) == random_moments(rate=50, seconds=100)
    assert len(moments) == pytest.approx(5000, rel=0.05)
    # Of a Poisson process the distances spread as much as they last.
    gaps = np.diff(moments)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_a_lone_arrival_waits_for_the_model_alone() -> None:
    assert perfect_queue([0.0, 1.0], ONE_TO_THREE).tolist() == pytest.approx([10, 10])


def test_those_who_come_during_a_pass_go_through_the_next_one_together() -> None:
    # The first takes 0..10 ms, the next two 10..28 ms.
    assert perfect_queue([0.0, 0.001, 0.009], ONE_TO_THREE).tolist() == pytest.approx([10, 27, 19])


def test_no_batch_is_larger_than_the_largest_measured() -> None:
    # One alone, then three (10..35 ms), then the last (35..45 ms).
    spent = perfect_queue([0.0, 0.001, 0.001, 0.001, 0.001], ONE_TO_THREE)
    assert spent.tolist() == pytest.approx([10, 34, 34, 34, 44])


def test_a_size_without_a_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="each size from 1 on"):
        perfect_queue([0.0], {1: [10.0], 3: [25.0]})


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(0, 3))
def test_nobody_is_served_before_a_pass_has_ended_or_left_out(arrivals: list[float], seed: int) -> None:
    moments = sorted(arrivals)
    spent = perfect_queue(moments, {1: [9.0, 12.0], 2: [15.0], 3: [21.0, 30.0]}, seed)
    assert len(spent) == len(moments)
    assert spent.min() >= 9.0 - 1e-6
    # All passes one after the other, each at its slowest, after the last arrival.
    assert spent.max() <= 12.0 * len(moments) + 30.0
