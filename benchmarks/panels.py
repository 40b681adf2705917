"""Grafana's dashboards as data: what their panels ask, and what a Prometheus answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

DASHBOARDS = Path(__file__).parent.parent / "docker" / "grafana" / "dashboards"


@dataclass(frozen=True)
class Query:
    """One of a panel's questions.

    Attributes:
        expr: PromQL, with Grafana's variables in it.
        legend: a series' name, with labels as `{{label}}`; empty for its value alone.
        instant: about now, not about the time shown.
        buckets: the answer is a cumulative histogram, to be shown bucket by bucket.
    """

    expr: str
    legend: str
    instant: bool
    buckets: bool

    def promql(self, rate_interval_s: int, range_s: int) -> str:
        """The expression with Grafana's variables replaced."""
        rate = self.expr.replace("$__rate_interval", f"{rate_interval_s}s")
        return rate.replace("$__range", f"{range_s}s")


@dataclass(frozen=True)
class Panel:
    """A panel: its place on the grid of 24 columns `(x, y, w, h)`, its queries, Grafana's own settings."""

    title: str
    kind: str
    place: tuple[int, int, int, int]
    queries: tuple[Query, ...]
    raw: Mapping[str, Any]

    @property
    def defaults(self) -> Mapping[str, Any]:
        """How values are shown: unit, bounds, colours."""
        shown: Mapping[str, Any] = self.raw["fieldConfig"]["defaults"]
        return shown


@dataclass(frozen=True)
class Series:
    """An answer: its labels, and `(unix s, value)` without what is not a number."""

    labels: Mapping[str, str]
    points: list[tuple[float, float]]

    def name(self, legend: str) -> str:
        """The labels as the legend wants them."""
        return re.sub(r"{{(\w+)}}", lambda found: self.labels.get(found[1], ""), legend)


class Prometheus:
    """The query interface of a running Prometheus; a context manager, which closes its connections.

    Raises:
        httpx.HTTPError: from every method, where it does not answer or refuses an expression.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=20)

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def instant(self, promql: str, at: float) -> list[Series]:
        """The answer at one moment (unix s)."""
        result = self._get("/api/v1/query", query=promql, time=at)["result"]
        return [Series(it["metric"], _numbers([it["value"]])) for it in result]

    def range(self, promql: str, start: float, end: float, step_s: float) -> list[Series]:
        """The answer from `start` to `end` (unix s)."""
        result = self._get("/api/v1/query_range", query=promql, start=start, end=end, step=step_s)["result"]
        return [Series(it["metric"], _numbers(it["values"])) for it in result]

    def targets(self) -> list[Mapping[str, Any]]:
        """What is scraped, and how that went."""
        active: list[Mapping[str, Any]] = self._get("/api/v1/targets", state="active")["activeTargets"]
        return active

    def _get(self, path: str, **parameters: Any) -> dict[str, Any]:
        answer = self._client.get(path, params=parameters)
        answer.raise_for_status()
        data: dict[str, Any] = answer.json()["data"]
        return data


def _numbers(values: list[tuple[float, str]]) -> list[tuple[float, float]]:
    return [(at, float(value)) for at, value in values if math.isfinite(float(value))]


def load(name: str) -> dict[str, Any]:
    """A dashboard's JSON."""
    dashboard: dict[str, Any] = json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8"))
    return dashboard


def panels(dashboard: Mapping[str, Any]) -> Iterator[Panel]:
    """A dashboard's panels and rows, in its order."""
    for raw in dashboard["panels"]:
        grid = raw["gridPos"]
        queries = tuple(
            Query(
                it["expr"],
                it.get("legendFormat", ""),
                it.get("instant", False),
                it.get("format") == "heatmap",
            )
            for it in raw.get("targets", [])
        )
        yield Panel(raw["title"], raw["type"], (grid["x"], grid["y"], grid["w"], grid["h"]), queries, raw)
