"""What every process that runs models measures of them."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from service.observability.gauges import or_nan
from service.observability.gpu import GpuCollector
from service.version import VERSION

# From 1 ms to 30 s: an index answers within the first, a queue at its limit fills the last.
STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ModelMetrics:
    """Metrics of every process that runs models: batches, bundle, build, GPUs, the process itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        GpuCollector.register(self.registry)
        self._batch_images = Histogram(
            "lka_reid_batch_images", "Images in a batch.", buckets=BATCH_BUCKETS, registry=self.registry
        )
        self._batch_seconds = Histogram(
            "lka_reid_batch_seconds",
            "Seconds of a batch in the embedder.",
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self._forward_age = Gauge(
            "lka_reid_forward_age_seconds",
            "Seconds since a forward pass last succeeded; NaN before the first.",
            registry=self.registry,
        )
        self._forward_age.set(math.nan)
        self._bundle = Gauge(
            "lka_reid_bundle_info",
            "The model bundle and the runtime in use; always 1.",
            ["name", "fingerprint", "runtime"],
            registry=self.registry,
        )
        Gauge(
            "lka_reid_build_info",
            "This build; always 1.",
            ["version", "python"],
            registry=self.registry,
        ).labels(VERSION, platform.python_version()).set(1)

    def batch(self, images: int, seconds: float) -> None:
        """A batch was embedded."""
        self._batch_images.observe(images)
        self._batch_seconds.observe(seconds)

    def bundle(self, name: str, fingerprint: str, runtime: str) -> None:
        """Which models are served."""
        self._bundle.labels(name, fingerprint, runtime).set(1)

    def watch_forward(self, age_s: Callable[[], float | None]) -> None:
        """Read the age of the last forward pass whenever the metrics are asked for."""
        self._forward_age.set_function(lambda: or_nan(age_s()))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
