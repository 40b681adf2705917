"""Two services share watches: an alert, its id and its delivery are one, whoever made the watch or saw it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from index import Enrollment, Gallery, LocalGallery, Record, UnknownImageError
from index.record import GalleryHeader
from index.shared import SharedStore, owed
from service.api.app import create_app
from service.settings import Settings
from service.watching import delivery, watcher, webhook
from service.watching.signature import new_secret
from tests.index.watch_samples import Replica, Rows
from tests.service.fakes import (
    DIM,
    FINGERPRINT,
    RED,
    STRIPS,
    decode_pool,
    image_file,
    make_models,
    open_gallery,
    serving,
    wait_until_ready,
)
from tests.service.redis_server import DURABLE, RedisServer, redis_server
from tests.service.stores import opened_stores
from tests.service.watching.receiver import Receiver, receiving, wait_for

HEADER = GalleryHeader(FINGERPRINT, DIM, STRIPS)


class LiveRows(Rows):
    """What replicas see, with records as the gallery has them."""

    def __init__(self, gallery: LocalGallery) -> None:
        super().__init__()
        self._gallery = gallery

    def records(self, numbers: Sequence[int]) -> dict[int, Record]:
        """Records by their numbers."""
        found = {}
        for number in numbers:
            with suppress(KeyError, UnknownImageError):  # deleted meanwhile
                found[number] = self._gallery.get(self.kept[number][0].image_id)
        return found


class SharedGallery:
    """A gallery on this machine as replicas have one on Milvus: its watches are in the shared store."""

    def __init__(self, gallery: LocalGallery, store: SharedStore, rows: Rows) -> None:
        self._gallery = gallery
        self.replica = Replica(store, rows, HEADER)
        self.watches = self.replica.watches
        self.ends_after_the_rows = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gallery, name)

    def enroll(self, one: Enrollment) -> Record:
        return self.enroll_many([one])[0]

    def enroll_many(self, enrollments: Sequence[Enrollment]) -> list[Record]:
        numbers = self.replica.begin(len(enrollments))
        records = self._gallery.enroll_many(enrollments)
        self.replica.insert(numbers, enrollments)
        if not self.ends_after_the_rows:
            self.watches.enrolled(numbers)
        return records

    def delete(self, image_id: str) -> None:
        self.replica.delete(image_id)
        self._gallery.delete(image_id)


@dataclass
class Service:
    """One of the replicas, and a client of it."""

    gallery: SharedGallery
    client: httpx.Client

    def enroll(self, *image_ids: str) -> None:
        for image_id in image_ids:
            sent = self.client.post(
                "/gallery", files={"image": ("x", image_file(RED))}, data={"image_id": image_id}
            )
            assert sent.status_code == 201, sent.text

    def watch(self, receiver: Receiver | None = None) -> dict[str, Any]:
        fields = {"threshold": "0.99", "name": "red"}
        if receiver is not None:
            fields |= {"webhook": receiver.url, "secret": new_secret()}
        made = self.client.post("/watches", files={"image": ("x", image_file(RED, "BMP"))}, data=fields)
        assert made.status_code == 201, made.text
        return cast(dict[str, Any], made.json())

    def alerts(self, path: str = "/alerts") -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self.client.get(path, params={"limit": 1000}).json()["alerts"])

    @contextmanager
    def listening(self, **headers: str) -> Iterator[Iterator[str]]:
        """Ids of the alerts that a listener is told, once it listens."""
        with self.client.stream("GET", "/alerts/events", headers=headers) as response:
            lines = response.iter_lines()
            assert next(lines) == ": alerts follow"
            yield (line for line in lines if line.startswith("id: "))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), None, **DURABLE) as running:
        yield running


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(delivery, "WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(delivery, "LEAST_S", 0.0)
    for module, name in ((delivery, "OTHERS_S"), (watcher, "AGAIN_S")):
        monkeypatch.setattr(module, name, 0.1)
    for name in ("CONNECT_S", "TOTAL_S"):  # on a machine that does much else
        monkeypatch.setattr(webhook, name, 60.0)
    with receiving() as it:
        yield it


@pytest.fixture
def services(server: RedisServer, receiver: Receiver, tmp_path: Path) -> Iterator[tuple[Service, Service]]:  # noqa: ARG001 - first its settings
    with (
        opened_stores(server) as connect,
        open_gallery(tmp_path / "gallery") as gallery,
        ExitStack() as stack,
    ):
        rows, made = LiveRows(gallery), []
        for name in "ab":
            shared = SharedGallery(gallery, connect(), rows)
            settings = Settings(data_dir=tmp_path / name, allow_private_webhooks=True, rate_per_s=0)
            app = create_app(
                settings, models=make_models(), gallery=cast(Gallery, shared), pool=decode_pool()
            )
            url = stack.enter_context(serving(app))
            client = stack.enter_context(httpx.Client(base_url=url, timeout=20))
            wait_until_ready(client)
            made.append(Service(shared, client))
        yield made[0], made[1]


@pytest.mark.slow
def test_a_watch_that_one_keeps_is_for_all_and_what_any_enrolls_raises_one_alert(
    services: tuple[Service, Service],
) -> None:
    one, other = services
    watch = one.watch()
    assert other.client.get("/watches").json()["watches"] == [watch]

    def enroll(service: Service, name: str) -> None:
        service.enroll(*(f"{name}-{number}" for number in range(10)))

    threads = [
        threading.Thread(target=enroll, args=(each, f"{place}")) for place, each in enumerate(services)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(other.alerts()) == 20)
    wait_for(lambda: one.gallery.watches.state().behind_since is None)
    assert one.alerts() == other.alerts()
    assert [alert["id"] for alert in one.alerts()] == list(range(20, 0, -1))
    assert len({alert["image_id"] for alert in one.alerts()}) == 20
    etags = [service.client.get(f"/watches/{watch['id']}/image").headers["ETag"] for service in services]
    assert etags[0] == etags[1]
    cursor = one.client.get("/alerts", params={"limit": 15}).json()["next"]
    rest = other.client.get("/alerts", params={"after": cursor}).json()["alerts"]
    assert [alert["id"] for alert in rest] == [5, 4, 3, 2, 1]
    other.client.delete("/gallery/0-0")
    assert "0-0" not in {alert["image_id"] for alert in one.alerts()}
    assert other.client.delete(f"/watches/{watch['id']}").status_code == 204
    assert one.alerts() == []


@pytest.mark.slow
def test_who_listens_to_one_is_told_what_the_other_raised_and_goes_on_at_either(
    services: tuple[Service, Service],
) -> None:
    one, other = services
    one.watch()
    with other.listening() as ids:
        # Whichever looks at it: the one that listens is told.
        one.enroll("a")
        assert next(ids) == "id: 1"
        other.enroll("b")
        assert next(ids) == "id: 2"
    one.enroll("c")
    for service in services:
        with service.listening(**{"Last-Event-ID": "1"}) as ids:
            assert [next(ids), next(ids)] == ["id: 2", "id: 3"]


@pytest.mark.slow
def test_an_alert_is_delivered_by_one_of_them_and_its_dead_letter_is_for_all(
    services: tuple[Service, Service], receiver: Receiver
) -> None:
    one, other = services
    one.watch(receiver)
    one.enroll("a", "b")
    other.enroll("c", "d")
    wait_for(lambda: [alert["delivery"]["state"] for alert in one.alerts()] == ["delivered"] * 4)
    sent = sorted(message.headers["webhook-id"] for message in receiver.messages)
    assert sent == [f"alert-default-{number}" for number in (1, 2, 3, 4)]
    receiver.answers = [500, 502, 410]
    one.enroll("e")
    wait_for(lambda: len(other.alerts("/alerts/dead-letters")) == 1)
    [dead] = one.alerts("/alerts/dead-letters")
    assert (dead["image_id"], dead["delivery"]["attempts"]) == ("e", 3)
    again = other.client.post(f"/alerts/dead-letters/{dead['id']}/retry")
    assert again.status_code == 200, again.text
    wait_for(lambda: one.alerts()[0]["delivery"]["state"] == "delivered")
    assert receiver.messages[-1].headers["webhook-id"] == f"alert-default-{dead['id']}"
    assert one.client.delete(f"/alerts/dead-letters/{dead['id']}").status_code == 404


@pytest.mark.slow
def test_what_one_left_that_ended_after_its_rows_the_other_looks_at(
    services: tuple[Service, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = services
    monkeypatch.setattr(owed, "SETTLED_S", 0.0)
    other.watch()
    one.gallery.ends_after_the_rows = True
    one.enroll("a")
    wait_for(lambda: len(other.alerts()) == 1)
    assert [alert["image_id"] for alert in one.alerts()] == ["a"]
