"""The figures of a retrieval result, each one function in a table.

Every metric is a mean over the queries that have a correct match, of a value in 0..1 that follows from the
ranks of the query's correct matches. A new one is registered here; the reports that it names show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.registry import Registry
from training.evaluation.result import Indices, RetrievalResult

Report = Literal["re-identification", "class retrieval"]
REIDENTIFICATION: Report = "re-identification"
CLASS_RETRIEVAL: Report = "class retrieval"


@dataclass(frozen=True)
class Metric:
    """A figure.

    Attributes:
        of_query: ranks of a query's correct matches, ascending, at least one -> 0..1.
        reports: those that show it. Class retrieval is what metric learning measures, where no camera is
            known.
    """

    of_query: Callable[[Indices], float]
    reports: tuple[Report, ...] = (REIDENTIFICATION, CLASS_RETRIEVAL)


def average_precision(ranks: Indices) -> float:
    """Mean over the correct matches of the share of correct ones down to there."""
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


def inverse_negative_penalty(ranks: Indices) -> float:
    """Correct matches over the rank of the last one.

    Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, section IV.B.
    """
    return len(ranks) / int(ranks[-1])


def reciprocal_rank(ranks: Indices) -> float:
    """One over the rank of the first correct match."""
    return 1 / int(ranks[0])


def within(rank: int) -> Callable[[Indices], float]:
    """Whether there is a correct match at this rank or better: CMC, and Recall@K of class retrieval."""
    return lambda ranks: float(ranks[0] <= rank)


# In the order of reports.
METRICS: Registry[Metric] = Registry("metric")
for k in (1, 2, 4, 8):
    METRICS.register(f"Recall@{k}", Metric(within(k), (CLASS_RETRIEVAL,)))
METRICS.register("mAP", Metric(average_precision))
for k in (1, 5, 10):
    METRICS.register(f"R{k}", Metric(within(k), (REIDENTIFICATION,)))
METRICS.register("mINP", Metric(inverse_negative_penalty, (REIDENTIFICATION,)))
METRICS.register("MRR", Metric(reciprocal_rank, ()))


def of_queries(result: RetrievalResult, name: str) -> NDArray[np.float64]:
    """A metric of each query that has a correct match, 0..1.

    Raises:
        ValueError: none has, or there is no such metric.
    """
    metric = METRICS.named(name)
    return np.array([metric.of_query(ranks) for ranks in result.answerable().ranks])


def figure(result: RetrievalResult, name: str) -> float:
    """A metric in percent.

    Raises:
        ValueError: see `of_queries`.
    """
    return 100 * float(of_queries(result, name).mean())


def shown(report: Report) -> list[str]:
    """The metrics of a report, in its order."""
    return [name for name, metric in METRICS.items() if report in metric.reports]


def figures(results: Sequence[RetrievalResult], names: Iterable[str]) -> dict[str, float]:
    """Metrics in percent by name, the mean over results (one for each gallery that was drawn).

    Raises:
        ValueError: see `of_queries`.
    """
    return {name: float(np.mean([figure(result, name) for result in results])) for name in names}


def cmc(results: Sequence[RetrievalResult], ranks: Iterable[int]) -> dict[int, float]:
    """The cumulative matching characteristic in percent by rank, the mean over results.

    Raises:
        ValueError: no query has a correct match.
    """
    firsts = [result.answerable().first for result in results]
    return {rank: 100 * float(np.mean([np.mean(first <= rank) for first in firsts])) for rank in ranks}
