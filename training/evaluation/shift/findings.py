"""What was found under each condition: figures with intervals over vehicles, and differences with tests."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.evaluation.metrics import of_queries
from training.evaluation.result import RetrievalResult, won_and_lost
from training.evaluation.shift.conditions import Condition, Kind
from training.evaluation.shift.trial import Results, Variant
from training.evaluation.significance import Interval, bootstrap, mcnemar

FIGURES = ("R1", "R5", "mAP")


@dataclass(frozen=True)
class Difference:
    """A variant less the one that it is compared with, on the same queries.

    Attributes:
        against: that one.
        R1: in points, with the interval of the paired bootstrap over vehicles.
        won: queries whose first match became correct.
        lost: queries whose first match became wrong.
        p: McNemar's, exact, two-sided; it takes queries for independent.
    """

    against: Variant
    R1: Interval
    won: int
    lost: int
    p: float


@dataclass(frozen=True)
class Row:
    """A variant under a condition.

    Attributes:
        kind: of the condition.
        condition: its name.
        embedder: what was measured.
        variant: of it.
        queries: with a correct match.
        vehicles: of them; classes in class retrieval.
        gallery: images that a query searches, the most.
        figures: percent, with 95 % intervals of the bootstrap over vehicles.
        difference: to what it adds something to; None for the plain first stage.
    """

    kind: Kind
    condition: str
    embedder: str
    variant: Variant
    queries: int
    vehicles: int
    gallery: int
    figures: dict[str, Interval]
    difference: Difference | None

    def as_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


class Findings:
    """Results by condition; those of one condition, from several trials, are pooled over their queries."""

    def __init__(self) -> None:
        self._found: dict[tuple[Kind, str, str], dict[Variant, list[RetrievalResult]]] = {}

    def add(self, kind: Kind, embedder: str, condition: Condition, results: Results) -> None:
        """Take in a trial's results."""
        for name in condition.names:
            self._add((kind, name, embedder), results)
        for name, vehicles in condition.by_vehicle:
            chosen = sorted(vehicles)
            part = {v: result.where(np.isin(result.vehicles, chosen)) for v, result in results.items()}
            self._add((kind, name, embedder), part)

    def _add(self, key: tuple[Kind, str, str], results: Results) -> None:
        own = self._found.setdefault(key, defaultdict(list))
        for variant, result in results.items():
            own[variant].append(result)

    def rows(self, seed: int) -> list[Row]:
        """A row for each variant under each condition, in the order in which they came.

        Args:
            seed: of the bootstrap.

        Raises:
            ValueError: no query of a condition has a correct match.
        """
        rows = []
        for (kind, condition, embedder), found in self._found.items():
            pooled = {v: RetrievalResult.pooled(results).answerable() for v, results in found.items()}
            for variant, result in pooled.items():
                figures = {
                    name: bootstrap(100 * of_queries(result, name), result.vehicles, seed=seed)
                    for name in FIGURES
                }
                rows.append(
                    Row(
                        kind,
                        condition,
                        embedder,
                        variant,
                        queries=len(result.queries),
                        vehicles=len(set(result.vehicles.tolist())),
                        gallery=result.gallery,
                        figures=figures,
                        difference=_difference(pooled, variant, seed),
                    )
                )
        return rows


def _difference(pooled: Results, variant: Variant, seed: int) -> Difference | None:
    against = variant.against
    if against is None:
        return None
    before, after = pooled[against], pooled[variant]
    gain = 100 * (of_queries(after, "R1") - of_queries(before, "R1"))
    won, lost = won_and_lost(before, after)
    return Difference(against, bootstrap(gain, after.vehicles, seed=seed), won, lost, mcnemar(won, lost))
