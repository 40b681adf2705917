"""What is measured: one registry per application, so that several can live in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from prometheus_client import Counter, Gauge, Histogram

from index import Collections
from models.decoding.tasks import FrameVehicles
from models.detection.vehicle import VEHICLE_TYPES
from service.inference.embedder import EmbedderState
from service.observability.gallery import GalleryMetrics
from service.observability.gauges import unread_gauge
from service.observability.latency import Latency
from service.observability.models import STAGE_BUCKETS, ModelMetrics
from service.observability.watches import WatchMetrics

# To the largest batch of the second stage, `service.retrieval.batched_reranker.MAX_BATCH`.
RERANK_BUCKETS = (1, 2, 4, 8, 16)
STAGES = ("detect", "decode", "queue", "embed", "search", "rerank", "explain", "total")


class Metrics(ModelMetrics):
    """The application's counters, gauges and histograms.

    Every label takes few values: routes are templates, reasons are error kinds, stages are named here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stages = Histogram(
            "lka_reid_stage_seconds",
            "Seconds of a request in a stage; total runs from its arrival to its answer.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self.registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)
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
        self._vehicles = Counter(
            "lka_reid_vehicles_found",
            "Vehicles that were found in frames, by type.",
            ["type"],
            registry=self.registry,
        )
        for kind in VEHICLE_TYPES:
            self._vehicles.labels(kind)
        self._in_flight = self._gauge(
            "requests_in_flight", "Requests under way; health, metrics and listeners left out."
        )
        self._reranked = Counter(
            "lka_reid_reranked",
            "Queries that the second stage looked at, by whether it changed the first answer.",
            ["first"],
            registry=self.registry,
        )
        for first in ("kept", "changed"):
            self._reranked.labels(first)
        self._dead_lettered = Counter(
            "lka_reid_dead_lettered",
            "Images put aside at their deadline, after workers had ended with them.",
            registry=self.registry,
        )
        self._rerank_probes = Histogram(
            "lka_reid_rerank_batch_probes",
            "Probes in a forward pass of the second stage.",
            buckets=RERANK_BUCKETS,
            registry=self.registry,
        )
        reading = partial(unread_gauge, self.registry)
        self._queue_depth = reading("queue_depth", "Images that have a place and no answer.")
        self._queue_limit = reading("queue_limit", "Places for images.")
        self._queue_oldest = reading("queue_oldest_seconds", "Age of the oldest image without an answer.")
        self._queue_up = reading("queue_up", "1 where Redis answers; 1 without Redis.")
        self._dead_letters = reading("dead_letters", "Dead letters kept in Redis.")
        self._workers = reading("workers_up", "Living embedding workers with this service's bundle.")
        self._ready = self._gauge("ready", "1 when the last readiness check passed.")
        self._uploads: Callable[[], int] = lambda: 0
        self.watches = WatchMetrics(self.registry)
        self.gallery = GalleryMetrics(self.registry)

    def stage(self, name: str, seconds: float) -> None:
        """A request spent this long in a stage of `STAGES`."""
        self._stages.labels(name).observe(seconds)

    def looked_at(self, seconds: float | None, frame: FrameVehicles | None) -> None:
        """A frame was looked at for so long; both are None of a crop, `frame` where its box was named."""
        if seconds is not None:
            self.stage("detect", seconds)
        for vehicle in () if frame is None else frame.vehicles:
            self._vehicles.labels(vehicle.type).inc()

    def latencies(self) -> list[Latency]:
        """The stages that requests have gone through."""
        buckets: dict[str, list[tuple[float, int]]] = {stage: [] for stage in STAGES}
        sums: dict[str, float] = {}
        for sample in next(iter(self._stages.collect())).samples:
            stage = sample.labels["stage"]
            if sample.name.endswith("_bucket"):
                buckets[stage].append((float(sample.labels["le"]), int(sample.value)))
            elif sample.name.endswith("_sum"):
                sums[stage] = sample.value
        return [Latency.of(stage, sums[stage], found) for stage, found in buckets.items() if found[-1][1]]

    def request(self, method: str, route: str, status: int) -> None:
        """A request was answered; `route` is a template, never a path."""
        self._requests.labels(method, route, str(status)).inc()

    def rejected(self, reason: str) -> None:
        """A request was answered with an error of this kind."""
        self._rejected.labels(reason).inc()

    def ready(self, is_ready: bool) -> None:
        """What a readiness check found."""
        self._ready.set(is_ready)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """A request is under way."""
        with self._in_flight.track_inprogress():
            yield

    def dead_lettered(self) -> None:
        """An image was put aside at its deadline."""
        self._dead_lettered.inc()

    def reranked(self, changed: bool) -> None:
        """The second stage looked at a query's matches, and changed the first of them or not."""
        self._reranked.labels("changed" if changed else "kept").inc()

    def watch_uploads(self, taken: Callable[[], int]) -> None:
        """Read the places taken by uploads whenever the metrics are asked for."""
        self._uploads = taken

    def rerank_batch(self, probes: int) -> None:
        """The second stage looked at the candidates of so many probes in one forward pass."""
        self._rerank_probes.observe(probes)

    def watch_embedder(self, embedder: Callable[[], EmbedderState], queue_limit: int) -> None:
        """Read the embedder's state whenever the metrics are asked for."""
        # An upload under way has a place here, and is nowhere in the queue yet.
        self._queue_depth.set_function(lambda: max(embedder().depth, self._uploads()))
        self._queue_limit.set(queue_limit)
        self._queue_oldest.set_function(lambda: embedder().oldest_s)
        self._queue_up.set_function(lambda: embedder().queue_up)
        self._dead_letters.set_function(lambda: embedder().dead_letters)
        self._workers.set_function(lambda: embedder().workers)
        self.watch_forward(lambda: embedder().forward_age_s)

    def watch_collections(self, collections: Collections) -> None:
        """Read what all collections hold whenever the metrics are asked for; before, `gallery.watch`."""
        self.gallery.watch_collections(collections)
        self.watches.watch(collections)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"lka_reid_{name}", meaning, registry=self.registry)
