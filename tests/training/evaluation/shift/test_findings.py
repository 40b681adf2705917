"""Findings pool queries, keep vehicles together in intervals, and test pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.training.evaluation.shift.made_up import features
from training.evaluation.result import RetrievalResult
from training.evaluation.shift.conditions import Condition, Kind
from training.evaluation.shift.findings import Findings
from training.evaluation.shift.trial import Results, Trial, Variant
from training.evaluation.significance import bootstrap, mcnemar

TRIAL = Trial("t", (features(["a"], "c", np.eye(1)),), ())


def result(name: str, firsts: Sequence[int], vehicles: Sequence[str]) -> RetrievalResult:
    ranks = tuple(np.array([first], dtype=np.intp) for first in firsts)
    names = np.array([f"{name}/{n}" for n in range(len(firsts))])
    return RetrievalResult(names, np.array(vehicles), 20, ranks)


def results(name: str, before: Sequence[int], after: Sequence[int], vehicles: Sequence[str]) -> Results:
    return {
        Variant.first: result(name, before, vehicles),
        Variant.both: result(name, after, vehicles),
    }


def test_a_row_has_figures_intervals_and_the_test_of_its_pairs() -> None:
    before, after = [1, 2, 2, 7, 1, 3], [1, 1, 1, 1, 2, 3]
    vehicles = ["a", "a", "b", "b", "c", "c"]
    findings = Findings()
    findings.add(Kind.seen, "bundle", Condition(("seen",), TRIAL), results("t", before, after, vehicles))
    first, both = findings.rows(seed=3)
    assert (first.queries, first.vehicles, first.gallery, first.difference) == (6, 3, 20, None)
    assert first.figures["R1"].mean == pytest.approx(100 * 2 / 6)
    assert first.figures["R5"].mean == pytest.approx(100 * 5 / 6)
    assert first.figures["mAP"].mean == pytest.approx(100 * np.mean([1 / rank for rank in before]))
    right = 100.0 * (np.array(before) == 1)
    assert first.figures["R1"] == bootstrap(right, np.array(vehicles), seed=3)
    found = both.difference
    assert found is not None
    assert (found.against, found.won, found.lost) == (Variant.first, 3, 1)
    assert found.p == mcnemar(3, 1)
    assert found.R1.mean == pytest.approx(100 * 2 / 6)


def test_trials_of_one_condition_are_pooled_and_rows_come_in_order() -> None:
    findings = Findings()
    for name, ranks in (("x", [1, 1]), ("y", [2, 2])):
        condition = Condition(("all", name), TRIAL)
        findings.add(Kind.virtual, "bundle", condition, results(name, ranks, ranks, ["a", "b"]))
    rows = findings.rows(seed=0)
    assert [(row.condition, row.variant) for row in rows] == [
        (name, variant) for name in ("all", "x", "y") for variant in (Variant.first, Variant.both)
    ]
    assert [row.figures["R1"].mean for row in rows[::2]] == [50, 100, 0]
    assert [row.queries for row in rows[::2]] == [4, 2, 2]
    # The same two vehicles twice: no more vehicles to draw from.
    assert rows[0].vehicles == 2


def test_a_condition_of_some_vehicles_counts_their_queries_alone() -> None:
    findings = Findings()
    condition = Condition(("all",), TRIAL, (("moved", frozenset({"b"})),))
    findings.add(Kind.mixed, "bundle", condition, results("t", [1, 2, 1], [1, 1, 1], ["a", "b", "c"]))
    rows = {(row.condition, row.variant): row for row in findings.rows(seed=0)}
    assert rows["all", Variant.first].queries == 3
    assert rows["moved", Variant.first].queries == 1
    assert rows["moved", Variant.both].figures["R1"].mean == 100


def test_queries_without_a_correct_match_do_not_count() -> None:
    nothing: np.ndarray = np.empty(0, dtype=np.intp)
    one: np.ndarray = np.array([1], dtype=np.intp)
    found = RetrievalResult(np.array(["q", "r"]), np.array(["a", "b"]), 9, (one, nothing))
    findings = Findings()
    findings.add(Kind.seen, "bundle", Condition(("seen",), TRIAL), {Variant.first: found})
    (row,) = findings.rows(seed=0)
    assert (row.queries, row.figures["R1"].mean) == (1, 100)
    assert row.as_json()["figures"]["R1"]["mean"] == 100
