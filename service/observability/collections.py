"""What each collection holds, for Prometheus; read when it is asked for.

The label takes as many values as there can be collections at a time (`index.collections.MOST` and the default
one); one that is dropped is gone from the next answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from index import Collections, GalleryError

_READINGS = {
    "images": "Enrolled images of a collection.",
    "bytes": "Bytes of a collection's database in use.",
    "quota_images": "Images that a collection may hold; absent without a limit.",
    "quota_bytes": "Bytes that a collection may hold; absent without a limit.",
}


class CollectionsCollector(Collector):
    """Gauges with the label `collection`; without samples until there is something to read."""

    def __init__(self) -> None:
        self._collections: Collections | None = None

    def watch(self, collections: Collections) -> None:
        """Read these from now on."""
        self._collections = collections

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Their names, for the registry; nothing is read."""
        yield from _families().values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What they are now."""
        families = _families()
        try:
            found = [] if self._collections is None else self._collections.items()
        except GalleryError:  # what names them does not answer; `lka_reid_shared_store_up` says so
            found = []
        for name, gallery in found:
            try:
                usage, quota = gallery.quotas.usage(), gallery.quotas.quota()
            except GalleryError:  # it is being dropped, or does not answer
                continue
            readings = {
                "images": usage.images,
                "bytes": usage.bytes,
                "quota_images": quota.images,
                "quota_bytes": quota.bytes,
            }
            for reading, value in readings.items():
                if value is not None:
                    families[reading].add_metric([name], value)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(f"lka_reid_collection_{name}", meaning, labels=["collection"])
        for name, meaning in _READINGS.items()
    }
