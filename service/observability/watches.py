"""Watches, alerts and deliveries, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from index import Collections, GalleryError, WatchState

OUTCOMES = ("delivered", "failed", "dead")
_READINGS = {
    "watches": "Watches, in all collections.",
    "watch_lag_seconds": "Age of the first image that no watch has looked at yet; 0 for none.",
    "webhook_waiting": "Alerts whose delivery is yet to succeed.",
    "webhook_dead_letters": "Alerts whose delivery was given up.",
}


class WatchMetrics(Collector):
    """Counts what watches do, and reads how many there are whenever the metrics are asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._collections: Collections | None = None
        self._alerts = Counter(
            "lka_reid_alerts_raised", "Alerts that watches have raised.", registry=registry
        )
        self._deliveries = Counter(
            "lka_reid_webhook_deliveries",
            "Deliveries to webhooks: accepted, failed and to be tried again, or given up as dead.",
            ["outcome"],
            registry=registry,
        )
        for outcome in OUTCOMES:
            self._deliveries.labels(outcome)
        registry.register(self)

    def raised(self, alerts: int) -> None:
        """Watches raised so many alerts."""
        self._alerts.inc(alerts)

    def delivery(self, outcome: str) -> None:
        """A delivery was tried; what became of it is one of OUTCOMES."""
        self._deliveries.labels(outcome).inc()

    def watch(self, collections: Collections) -> None:
        """Read these from now on."""
        self._collections = collections

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The gauges' names, for the registry; nothing is read."""
        yield from (GaugeMetricFamily(f"lka_reid_{name}", text) for name, text in _READINGS.items())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What they are now; without samples where a gallery does not answer."""
        states = _states(self._collections)
        lags = [
            (datetime.now(UTC) - state.behind_since).total_seconds()
            for state in states
            if state.behind_since is not None
        ]
        values = (
            sum(state.watches for state in states),
            max([0.0, *lags]),
            sum(state.waiting for state in states),
            sum(state.dead for state in states),
        )
        for family, value in zip(self.describe(), values, strict=True):
            if states:
                family.add_metric([], value)
            yield family


def _states(collections: Collections | None) -> list[WatchState]:
    states = []
    try:
        for _, gallery in [] if collections is None else collections.items():
            states.append(gallery.watches.state())
    except GalleryError:  # closed, or does not answer, which other gauges say
        return []
    return states
