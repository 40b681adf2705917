"""Quantiles of a stage's times are estimated as Prometheus estimates them."""

from __future__ import annotations

import math

import pytest

from service.observability.errors import KEPT, AnsweredErrors
from service.observability.latency import Latency, quantile

BUCKETS = ((0.1, 10), (0.2, 30), (0.4, 40), (math.inf, 40))


@pytest.mark.parametrize(
    ("share", "expected"), [(0.25, 0.1), (0.5, 0.15), (0.75, 0.2), (0.95, 0.36), (1.0, 0.4), (0.0, 0.0)]
)
def test_a_quantile_lies_within_its_bucket(share: float, expected: float) -> None:
    assert quantile(share, BUCKETS) == pytest.approx(expected)


def test_beyond_the_last_finite_bound_it_is_that_bound() -> None:
    assert quantile(0.95, ((0.1, 1), (math.inf, 20))) == 0.1


def test_empty_buckets_below_are_passed_over() -> None:
    assert quantile(0.5, ((0.1, 0), (0.2, 4), (math.inf, 4))) == pytest.approx(0.15)
    assert Latency.of("explain", 10.5, ((10.0, 0), (30.0, 1), (math.inf, 1))).median == 10.5
    assert Latency.of("embed", 3.0, ((0.5, 0), (1.0, 4), (math.inf, 4))).mean == 0.75


def test_the_errors_that_came_last_are_kept_and_those_before_forgotten() -> None:
    errors = AnsweredErrors()
    for number in range(KEPT + 3):
        errors.note("overloaded", f"POST /{number}", str(number))
    errors.note("overloaded", "POST /5", "again")
    found = errors.newest_first()
    assert len(found) == KEPT
    assert (found[0].route, found[0].count, found[0].request_id) == ("POST /5", 2, "again")
    assert {f"POST /{number}" for number in range(3)}.isdisjoint(error.route for error in found)
