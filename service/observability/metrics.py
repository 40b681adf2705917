"""What is measured: one registry per application, so that several can live in one process."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import get_args

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

from index import Collections, Gallery, GalleryError, Kind, Normalisation
from models.decoding.tasks import FrameVehicles
from models.detection.vehicle import VEHICLE_TYPES
from service.inference.embedder import EmbedderState
from service.observability.collections import CollectionsCollector
from service.observability.gpu import GpuCollector
from service.observability.latency import Latency
from service.observability.watches import WatchMetrics
from service.version import VERSION

# From 1 ms to 30 s: an index answers within the first, a queue at its limit fills the last.
STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# To the largest batch of the second stage, `service.retrieval.batched_reranker.MAX_BATCH`.
RERANK_BUCKETS = (1, 2, 4, 8, 16)
STAGES = ("detect", "decode", "queue", "embed", "search", "rerank", "explain", "total")
KINDS: tuple[Kind, ...] = get_args(Kind)


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
        self._forward_age.set_function(lambda: _or_nan(age_s()))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


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
        self._queue_depth = self._reading("queue_depth", "Images that have a place and no answer.")
        self._queue_limit = self._reading("queue_limit", "Places for images.")
        self._queue_oldest = self._reading(
            "queue_oldest_seconds", "Age of the oldest image without an answer."
        )
        self._queue_up = self._reading("queue_up", "1 where Redis answers; 1 without Redis.")
        self._dead_letters = self._reading("dead_letters", "Dead letters kept in Redis.")
        self._workers = self._reading("workers_up", "Living embedding workers with this service's bundle.")
        self._gallery_up = self._reading(
            "gallery_up", "1 while the gallery takes and gives images, else 0; Milvus and objects included."
        )
        self._shared_up = self._reading(
            "shared_store_up", "1 while the store that replicas share answers, else 0; NaN without one."
        )
        self._gallery_size = self._reading("gallery_images", "Enrolled images.")
        self._snapshot_age = self._reading(
            "gallery_snapshot_age_seconds", "Age of the search index on disk; NaN where there is none."
        )
        self._snapshot_behind = self._reading(
            "gallery_changes_since_snapshot", "Changes that the search index on disk does not hold."
        )
        self._unerased = self._reading(
            "gallery_unerased_seconds",
            "Age of the first deletion that is still in a file; 0 for none.",
        )
        self._retention = self._reading(
            "gallery_retention_days", "Days that images are kept; NaN where they are kept for ever."
        )
        self._expired = self._reading(
            "gallery_expired_images", "Images deleted for their age since the start."
        )
        self._retention_failed = self._reading(
            "gallery_retention_failed", "1 where the last look for images that are too old came to no end."
        )
        self._version = self._reading(
            "normalisation_version",
            "Version of the camera normalisation in force; 0 for none.",
        )
        self._known_cameras = self._reading("normalisation_cameras", "Cameras that this version knows.")
        self._drift = self._reading(
            "normalisation_drift",
            "How far a new version would move descriptors, of their length.",
        )
        self._renewal_seconds = self._reading(
            "normalisation_renewal_seconds",
            "Seconds that making the last version took.",
        )
        self._index_kind = Gauge(
            "lka_reid_index_kind",
            "1 for the kind of vector index in use, 0 for the others.",
            ["kind"],
            registry=self.registry,
        )
        self._index_gpu = self._reading("index_gpu", "1 where a GPU searches the vector index, else 0.")
        self._index_memory = self._reading("index_memory_bytes", "Memory of the vector index, about.")
        self._index_recent = self._reading("index_recent_images", "Images beside the codes of the index.")
        self._index_left_out = self._reading(
            "index_left_out_images", "Images with a damaged descriptor, which searches do not find."
        )
        self._index_building = self._reading("index_building", "1 while another vector index is made.")
        self._index_seconds = self._reading(
            "index_build_seconds", "Seconds that making the last vector index took; 0 before the first."
        )
        self._data_free = self._reading("data_free_bytes", "Free bytes where the data directory lies.")
        self._data_size = self._reading("data_size_bytes", "All bytes where the data directory lies.")
        self._ready = self._gauge("ready", "1 when the last readiness check passed.")
        self._uploads: Callable[[], int] = lambda: 0
        self.watches = WatchMetrics(self.registry)
        self._collections = CollectionsCollector()
        self.registry.register(self._collections)

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

    def watch_gallery(self, gallery: Gallery, folder: Path | None) -> None:
        """Read the gallery's state, and that of its disk where it has one, whenever metrics are asked for."""
        _watch(self._gallery_up, lambda: gallery.fault() is None)
        _watch(self._gallery_size, gallery.count)
        _watch(self._snapshot_age, lambda: _or_nan(gallery.snapshot_age_seconds()))
        _watch(self._snapshot_behind, gallery.changes_since_snapshot)
        _watch(self._unerased, gallery.unerased_seconds)
        retention = gallery.retention
        _watch(self._retention, lambda: _or_nan(retention.state.days))
        _watch(self._expired, lambda: retention.state.deleted)
        _watch(self._retention_failed, lambda: retention.state.failed)
        cameras = gallery.cameras
        _watch(self._version, lambda: _version(cameras.normalisation()))
        _watch(self._known_cameras, lambda: len(cameras.normalisation().cameras))
        _watch(self._drift, lambda: cameras.renewal().drift)
        _watch(self._renewal_seconds, lambda: cameras.renewal().seconds or 0.0)
        index = gallery.index_state
        for kind in KINDS:
            _watch(self._index_kind.labels(kind), partial(_is_of, gallery, kind))
        _watch(self._index_gpu, lambda: index().device == "gpu")
        _watch(self._index_memory, lambda: index().memory_bytes)
        _watch(self._index_recent, lambda: index().recent)
        _watch(self._index_left_out, lambda: index().left_out)
        _watch(self._index_building, lambda: index().is_building)
        _watch(self._index_seconds, lambda: index().seconds or 0.0)
        if folder is not None:
            _watch(self._data_free, lambda: disk_usage(folder).free)
            _watch(self._data_size, lambda: disk_usage(folder).total)

    def watch_shared_store(self, fault: Callable[[], str | None]) -> None:
        """Read whether the store that replicas share answers whenever the metrics are asked for."""
        _watch(self._shared_up, lambda: fault() is None)

    def watch_collections(self, collections: Collections) -> None:
        """Read what all collections hold whenever the metrics are asked for; before, `watch_gallery`."""

        def of_all(read: Callable[[Gallery], float]) -> list[float]:
            return [read(gallery) for _, gallery in collections.items()]

        _watch(self._gallery_size, lambda: sum(of_all(lambda gallery: gallery.count())))
        _watch(self._snapshot_behind, lambda: sum(of_all(lambda gallery: gallery.changes_since_snapshot())))
        _watch(self._unerased, lambda: max(of_all(lambda gallery: gallery.unerased_seconds())))
        self._collections.watch(collections)
        self.watches.watch(collections)

    def _reading(self, name: str, meaning: str) -> Gauge:
        """A gauge that is read when the metrics are asked for; NaN until there is something to read."""
        gauge = self._gauge(name, meaning)
        gauge.set(math.nan)
        return gauge

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"lka_reid_{name}", meaning, registry=self.registry)


def _watch(gauge: Gauge, read: Callable[[], float]) -> None:
    """Read a gauge whenever the metrics are asked for; NaN where the gallery does not answer then."""

    def value() -> float:
        try:
            return read()
        except GalleryError:
            return math.nan

    gauge.set_function(value)


def _is_of(gallery: Gallery, kind: Kind) -> bool:
    return gallery.index_state().kind == kind


def _version(normalisation: Normalisation) -> int:
    return 0 if normalisation.is_raw else normalisation.version


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
