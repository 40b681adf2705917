"""A real Prometheus on the real service and a worker under light load: every panel has something to show."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import dashboard
from benchmarks.panels import Panel, Prometheus, load, panels
from index import Quota
from models.bundle import Bundle
from tests.docker.prometheus import scraping
from tests.models.detection.scenes import FRAME
from tests.service.fakes import BLUE, GREEN, RED, image_file, open_gallery
from tests.service.queue.stack import Process, Stack, stack

SCRAPE_S = 1
OF_A_GPU = "no GPU"
DURABLE = {"appendonly": "yes", "appendfsync": "everysec"}
"""The stack's Redis is what replicas share, too."""
DASHBOARDS = ("service", "workers")
PANELS = [
    panel
    for name in DASHBOARDS
    for panel in panels(load(name))
    if panel.kind != "row" and panel.defaults.get("noValue") != OF_A_GPU
]

pytestmark = pytest.mark.slow


class Load:
    """Enrollments, queries, refusals and deletions, one at a time, until stopped."""

    def __init__(self, service: Process) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        for number in itertools.count():
            self._service.enroll(image_file((number % 256, 90, 40)), image_id=f"car_{number}")
            for colour in (RED, GREEN, BLUE):
                self._service.query(image_file(colour))
            self._service.query(FRAME.read_bytes(), detect="largest")
            self._service.query(b"no image")
            if number % 5 == 4:
                self._service.client.delete(f"/gallery/car_{number - 2}")
            if self._stop.wait(0.05):
                return


def snapshotted_gallery(folder: Path) -> None:
    """A gallery with a snapshot of its index, a quota and a retention, for the service to find."""
    fingerprint = Bundle.load(folder / "bundle").fingerprint
    with open_gallery(folder / "data", fingerprint=fingerprint) as gallery:
        gallery.snapshot()
        gallery.quotas.set(Quota(images=1_000_000, bytes=10**12))
        gallery.retention.set(365)


def started(it: Stack, folder: Path) -> tuple[Process, dict[str, list[str]]]:
    """A service, and where it and its worker are scraped."""
    snapshotted_gallery(folder)
    service, workers = it.started(shared_url=it.redis.url)
    addresses = [process.client.base_url.netloc.decode() for process in (service, *workers)]
    return service, {"api": addresses[:1], "worker": addresses[1:]}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, float]]:
    """A Prometheus that has scraped a stack under load for a while, and when that began."""
    folder = tmp_path_factory.mktemp("watched")
    with stack(folder, DURABLE) as it:
        service, targets = started(it, folder)
        with scraping(folder, targets) as prometheus, Load(service):
            since = time.time()
            _await_samples(prometheus)
            yield prometheus, since


def _await_samples(prometheus: Prometheus) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if prometheus.instant("count_over_time(lka_reid:total_seconds:p99_5m[1m]) >= 5", time.time()):
            return
        time.sleep(0.5)
    raise AssertionError(f"no samples after a minute: {prometheus.targets()}")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_has_data_from_every_query(panel: Panel, watched: tuple[Prometheus, float]) -> None:
    prometheus, since = watched
    answer = dashboard.found_by(prometheus, panel, since, time.time(), SCRAPE_S)
    assert all(found for _, found in answer), [query.expr for query, found in answer if not found]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_dashboard_can_be_drawn(name: str, watched: tuple[Prometheus, float], tmp_path: Path) -> None:
    prometheus, since = watched
    figure = dashboard.draw(name, prometheus, since, time.time(), SCRAPE_S)
    figure.savefig(tmp_path / "dashboard.png")
    assert (tmp_path / "dashboard.png").stat().st_size > 50_000


def test_every_target_answers_and_no_alert_fires(watched: tuple[Prometheus, float]) -> None:
    prometheus, _ = watched
    assert {target["health"] for target in prometheus.targets()} == {"up"}
    assert prometheus.instant('ALERTS{alertstate="firing"}', time.time()) == []
