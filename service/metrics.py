"""What is measured: one registry per application, so that several can live in one process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

# From 1 ms to 30 s: an index answers within the first, a queue at its limit fills the last.
STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
STAGES = ("decode", "queue", "embed", "search", "rerank", "total")


class Metrics:
    """The application's counters, gauges and histograms.

    Every label takes few values: routes are templates, reasons are error kinds, stages are named here.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._stages = Histogram(
            "lka_reid_stage_seconds",
            "Seconds of a request in a stage; total runs from its arrival to its answer.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)
        self._batch_images = Histogram(
            "lka_reid_batch_images", "Images in a batch.", buckets=BATCH_BUCKETS, registry=self.registry
        )
        self._batch_seconds = Histogram(
            "lka_reid_batch_seconds",
            "Seconds of a batch in the embedder.",
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self._requests = Counter(
            "lka_reid_requests",
            "Requests answered, by route template and status code.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._rejected = Counter(
            "lka_reid_rejected",
            "Requests answered with an error, by kind.",
            ["reason"],
            registry=self.registry,
        )
        self._queue_depth = Gauge(
            "lka_reid_queue_depth", "Images being decoded or waiting.", registry=self.registry
        )
        self._gallery_size = Gauge("lka_reid_gallery_images", "Enrolled images.", registry=self.registry)
        self._ready = Gauge(
            "lka_reid_ready", "1 when the last readiness check passed.", registry=self.registry
        )
        self._bundle = Gauge(
            "lka_reid_bundle_info",
            "The model bundle and the runtime in use; always 1.",
            ["name", "fingerprint", "runtime"],
            registry=self.registry,
        )

    def stage(self, name: str, seconds: float) -> None:
        """A request spent this long in a stage of `STAGES`."""
        self._stages.labels(name).observe(seconds)

    def batch(self, images: int, seconds: float) -> None:
        """A batch was embedded."""
        self._batch_images.observe(images)
        self._batch_seconds.observe(seconds)

    def request(self, method: str, route: str, status: int) -> None:
        """A request was answered; `route` is a template, never a path."""
        self._requests.labels(method, route, str(status)).inc()

    def rejected(self, reason: str) -> None:
        """A request was answered with an error of this kind."""
        self._rejected.labels(reason).inc()

    def ready(self, is_ready: bool) -> None:
        """What a readiness check found."""
        self._ready.set(is_ready)

    def bundle(self, name: str, fingerprint: str, runtime: str) -> None:
        """Which models are served."""
        self._bundle.labels(name, fingerprint, runtime).set(1)

    def watch(self, queue_depth: Callable[[], int], gallery_size: Callable[[], int]) -> None:
        """Read these two whenever the metrics are asked for."""
        self._queue_depth.set_function(queue_depth)
        self._gallery_size.set_function(gallery_size)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
