"""Paired tests agree with other hands and find what is there."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.significance import bootstrap, mcnemar


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (5, 0, 2 / 32),
        (0, 5, 2 / 32),
        # 2 (1 + 10 + 45) / 1024
        (2, 8, 112 / 1024),
        (1, 9, 22 / 1024),
    ],
)
def test_mcnemar_by_hand(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == p


def test_mcnemar_is_the_binomial_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    for won in (0, 3, 17, 40, 2000):
        for lost in (0, 1, 17, 55, 2100):
            if won + lost:
                wanted = stats.binomtest(won, won + lost, 0.5).pvalue
                assert mcnemar(won, lost) == pytest.approx(wanted, rel=1e-9)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 won"):
        mcnemar(-1, 3)


def test_the_interval_covers_a_known_difference_as_often_as_it_says() -> None:
    source = np.random.default_rng(1)
    truth, trials, covered = 2.0, 200, 0
    for seed in range(trials):
        # What the queries of a vehicle share weighs more than what they do not.
        vehicles = np.repeat(np.arange(60), 4)
        values = truth + np.repeat(source.normal(0, 3, 60), 4) + source.normal(0, 1, 240)
        found = bootstrap(values, vehicles.astype(str), draws=400, seed=seed)
        covered += found.low <= truth <= found.high
    assert 0.88 * trials <= covered <= 0.99 * trials


def test_queries_of_one_vehicle_are_drawn_together() -> None:
    vehicles = np.repeat(np.arange(20), 10).astype(str)
    values = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    together = bootstrap(values, vehicles)
    apart = bootstrap(values, np.arange(200).astype(str))
    assert together.high - together.low > 2.5 * (apart.high - apart.low)
    # Ten times the same is no more evidence than once.
    once = bootstrap(values[::10], vehicles[::10])
    assert (together.low, together.high) == pytest.approx((once.low, once.high))


def test_the_seed_fixes_the_interval() -> None:
    values, vehicles = np.random.default_rng(0).normal(size=30), np.arange(30).astype(str)
    assert bootstrap(values, vehicles) == bootstrap(values, vehicles)
    assert bootstrap(values, vehicles) != bootstrap(values, vehicles, seed=1)


def test_no_query_is_refused() -> None:
    with pytest.raises(ValueError, match="no query"):
        bootstrap(np.array([]), np.array([], dtype=str))
