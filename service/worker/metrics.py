"""What a worker measures."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

from service.inference.embedder import EmbeddedImage
from service.observability.models import STAGE_BUCKETS, ModelMetrics

STAGES = ("decode", "queue", "embed")
OUTCOMES = ("embedded", "not-an-image", "expired", "failed")


class WorkerMetrics(ModelMetrics):
    """A worker's counters, gauges and histograms; labels take the values named here and no others."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Histogram(
            "lka_reid_worker_stage_seconds",
            "Seconds of an image in a stage; queue holds the wait in Redis.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        self._answers = Counter(
            "lka_reid_worker_answers", "Images answered.", ["outcome"], registry=self.registry
        )
        for stage in STAGES:
            self._stages.labels(stage)
        for outcome in OUTCOMES:
            self._answers.labels(outcome)
        self._claimed = self._counter("claimed", "Images taken over from a worker that died or stood still.")
        self._dead = self._counter("dead_lettered", "Images put aside after their last delivery.")
        self._withdrawn = self._counter("withdrawn", "Images in hand whose client had gone.")
        self._redis_errors = self._counter("redis_errors", "Times that Redis did not answer.")
        self._up = Gauge("lka_reid_worker_up", "1 while it takes images.", registry=self.registry)
        self._held = Gauge(
            "lka_reid_worker_held", "Images in hand without an answer.", registry=self.registry
        )

    def answered(self, outcome: str) -> None:
        """An image was answered, with one of `OUTCOMES`."""
        self._answers.labels(outcome).inc()

    def embedded(self, image: EmbeddedImage) -> None:
        """An image was embedded and answered."""
        self.answered("embedded")
        for stage, seconds in zip(STAGES, (image.decode_s, image.queue_s, image.embed_s), strict=True):
            self._stages.labels(stage).observe(seconds)

    def claimed(self) -> None:
        """An image was taken over."""
        self._claimed.inc()

    def dead_lettered(self) -> None:
        """An image was put aside."""
        self._dead.inc()

    def withdrawn(self) -> None:
        """An image's client had gone."""
        self._withdrawn.inc()

    def redis_error(self) -> None:
        """Redis did not answer."""
        self._redis_errors.inc()

    def up(self, is_up: bool) -> None:
        """Whether the worker takes images."""
        self._up.set(is_up)

    def watch(self, held: Callable[[], int], forward_age_s: Callable[[], float | None]) -> None:
        """Read these whenever the metrics are asked for."""
        self._held.set_function(held)
        self.watch_forward(forward_age_s)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"lka_reid_{name}", meaning, registry=self.registry)
