"""Gauges that are read when the metrics are asked for."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Gauge


def unread_gauge(registry: CollectorRegistry, name: str, meaning: str) -> Gauge:
    """A gauge `lka_reid_NAME` to be read when the metrics are asked for; NaN until there is a value."""
    gauge = Gauge(f"lka_reid_{name}", meaning, registry=registry)
    gauge.set(math.nan)
    return gauge


def or_nan(value: float | None) -> float:
    """The value; NaN for none."""
    return math.nan if value is None else value
