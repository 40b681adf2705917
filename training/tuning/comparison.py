"""Two bundles on the same vehicles, and which of them to serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.runtime import Models
from training.datasets.dataset import Task
from training.evaluation.breakdown import over_vehicles
from training.evaluation.descriptors import Described, describe
from training.evaluation.measurement import Measurement, Way
from training.evaluation.metrics import of_queries
from training.evaluation.protocol import Progress, measure
from training.evaluation.significance import Interval, bootstrap

METRICS = ("R1", "mAP")
DECIDES = "mAP"


@dataclass(frozen=True)
class Compared:
    """A figure of two bundles in percent, with 95 % intervals over vehicles.

    Attributes:
        metric: its name.
        before: of the bundle that the tuning has started from.
        after: of the tuned one.
        difference: in points, of the same queries.
    """

    metric: str
    before: Interval
    after: Interval
    difference: Interval


@dataclass(frozen=True)
class Comparison:
    """What two bundles come to on vehicles that the tuning has not seen.

    Attributes:
        vehicles: of them.
        queries: that count.
        stages: `first stage` or `both stages`, of both bundles.
        rows: a figure each.
    """

    vehicles: int
    queries: int
    stages: str
    rows: tuple[Compared, ...]

    @property
    def tuned_is_better(self) -> bool:
        """Whether the deciding figure's interval lies above 0."""
        return self._deciding.difference.low > 0

    @property
    def verdict(self) -> str:
        """Which one to serve, and why."""
        found = self._deciding.difference
        change = f"{DECIDES} {found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"
        on = f"on {self.vehicles:,} held-back vehicles: {change}"
        if found.low > 0:
            return f"Serve the tuned bundle: it is better {on}"
        if found.high < 0:
            return f"Keep the bundle that you started from: the tuned one is worse {on}"
        return f"Keep the bundle that you started from: the difference may be chance {on}"

    @property
    def _deciding(self) -> Compared:
        return next(row for row in self.rows if row.metric == DECIDES)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "tuned_is_better": self.tuned_is_better, "verdict": self.verdict}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Comparison:
        """The inverse of `as_json`."""
        rows = tuple(
            Compared(row["metric"], *(Interval(**row[name]) for name in ("before", "after", "difference")))
            for row in values["rows"]
        )
        return cls(values["vehicles"], values["queries"], values["stages"], rows)


def described(models: Models, task: Task, progress: Progress, name: str) -> Described:
    """The images of a task, embedded by a bundle."""
    images = task.images()
    return describe(models.embedder, images, strips=True, report=progress.start(name, len(images)))


def compare(
    task: Task,
    before: tuple[Models, Described],
    after: tuple[Models, Described],
    progress: Progress,
) -> Comparison:
    """Measure two bundles on one task, by both stages where both have them.

    Args:
        task: of vehicles that neither tuning nor training has seen.
        before: the bundle that the tuning has started from, and the task's images by it.
        after: the tuned one.
        progress: receives how far the work is.

    Raises:
        ValueError: no query has a correct match.
    """
    both = all(models.reranker is not None and found.strips is not None for models, found in (before, after))
    way = Way.reranked if both else Way.plain
    measured = [measure(task, found, way, models.reranker, progress) for models, found in (before, after)]
    counted = measured[0].result.answerable()
    return Comparison(
        vehicles=len(set(counted.vehicles.tolist())),
        queries=len(counted.queries),
        stages="both stages" if both else "first stage",
        rows=tuple(_compared(metric, measured) for metric in METRICS),
    )


def _compared(metric: str, measured: Sequence[Measurement]) -> Compared:
    one, other = (each.result for each in measured)
    change = bootstrap(of_queries(other, metric) - of_queries(one, metric), one.answerable().vehicles)
    points = Interval(100 * change.mean, 100 * change.low, 100 * change.high)
    return Compared(metric, over_vehicles(one, metric), over_vehicles(other, metric), points)
