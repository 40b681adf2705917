"""A gallery's size, index, retention and camera normalisation, for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import get_args

from prometheus_client import CollectorRegistry, Gauge

from index import Collections, Gallery, GalleryError, Kind, Normalisation
from service.observability.collections import CollectionsCollector
from service.observability.gauges import or_nan, unread_gauge

KINDS: tuple[Kind, ...] = get_args(Kind)


class GalleryMetrics:
    """Gauges of the gallery, read whenever the metrics are asked for; NaN until there is one to read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        reading = partial(unread_gauge, registry)
        self._up = reading(
            "gallery_up", "1 while the gallery takes and gives images, else 0; Milvus and objects included."
        )
        self._size = reading("gallery_images", "Enrolled images.")
        self._snapshot_age = reading(
            "gallery_snapshot_age_seconds", "Age of the search index on disk; NaN where there is none."
        )
        self._snapshot_behind = reading(
            "gallery_changes_since_snapshot", "Changes that the search index on disk does not hold."
        )
        self._unerased = reading(
            "gallery_unerased_seconds",
            "Age of the first deletion that is still in a file; 0 for none.",
        )
        self._retention = reading(
            "gallery_retention_days", "Days that images are kept; NaN where they are kept for ever."
        )
        self._expired = reading("gallery_expired_images", "Images deleted for their age since the start.")
        self._retention_failed = reading(
            "gallery_retention_failed", "1 where the last look for images that are too old came to no end."
        )
        self._version = reading(
            "normalisation_version",
            "Version of the camera normalisation in force; 0 for none.",
        )
        self._known_cameras = reading("normalisation_cameras", "Cameras that this version knows.")
        self._drift = reading(
            "normalisation_drift",
            "How far a new version would move descriptors, of their length.",
        )
        self._renewal_seconds = reading(
            "normalisation_renewal_seconds",
            "Seconds that making the last version took.",
        )
        self._index_kind = Gauge(
            "lka_reid_index_kind",
            "1 for the kind of vector index in use, 0 for the others.",
            ["kind"],
            registry=registry,
        )
        self._index_gpu = reading("index_gpu", "1 where a GPU searches the vector index, else 0.")
        self._index_memory = reading("index_memory_bytes", "Memory of the vector index, about.")
        self._index_recent = reading("index_recent_images", "Images beside the codes of the index.")
        self._index_left_out = reading(
            "index_left_out_images", "Images with a damaged descriptor, which searches do not find."
        )
        self._index_building = reading("index_building", "1 while another vector index is made.")
        self._index_seconds = reading(
            "index_build_seconds", "Seconds that making the last vector index took; 0 before the first."
        )
        self._data_free = reading("data_free_bytes", "Free bytes where the data directory lies.")
        self._data_size = reading("data_size_bytes", "All bytes where the data directory lies.")
        self._shared_up = reading(
            "shared_store_up", "1 while the store that replicas share answers, else 0; NaN without one."
        )
        self._collections = CollectionsCollector()
        registry.register(self._collections)

    def watch(self, gallery: Gallery, folder: Path | None) -> None:
        """Read the gallery's state, and that of its disk where it has one, whenever metrics are asked for."""
        _watch(self._up, lambda: gallery.fault() is None)
        _watch(self._size, gallery.count)
        _watch(self._snapshot_age, lambda: or_nan(gallery.snapshot_age_seconds()))
        _watch(self._snapshot_behind, gallery.changes_since_snapshot)
        _watch(self._unerased, gallery.unerased_seconds)
        retention = gallery.retention
        _watch(self._retention, lambda: or_nan(retention.state.days))
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
        """Read what all collections hold whenever the metrics are asked for; before, `watch`."""

        def of_all(read: Callable[[Gallery], float]) -> list[float]:
            return [read(gallery) for _, gallery in collections.items()]

        _watch(self._size, lambda: sum(of_all(lambda gallery: gallery.count())))
        _watch(self._snapshot_behind, lambda: sum(of_all(lambda gallery: gallery.changes_since_snapshot())))
        _watch(self._unerased, lambda: max(of_all(lambda gallery: gallery.unerased_seconds())))
        self._collections.watch(collections)


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
