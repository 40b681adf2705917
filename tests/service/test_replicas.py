"""Two replicas of the service on one Milvus: both know what either did, and one holds when the other dies."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from index import Decision, Enrollment, Gallery, GalleryError, Quota
from index.milvus import collection, opening
from index.milvus.connection import connect
from index.shared import SharedStore
from models.bundle import Bundle
from service.access.auditchain import CHAIN, Chain
from service.access.auditverify import verify_lines
from service.access.homes import open_store
from service.access.sharedaudit import SharedAudit, SharedIdHasher
from service.galleries import open_shared_gallery
from service.settings import SHARED_NAME, load_settings
from tests.index.milvus.kept import PREFIX, emptied
from tests.service.command_line import Command, command_runner, free_port
from tests.service.fakes import BLUE, DIM, GREEN, RED, STRIPS, image_file
from tests.service.replicas import Shared, enroll, replica, sharing
from tests.service.watching.receiver import wait_for

pytestmark = pytest.mark.milvus


@pytest.fixture
def shared(milvus_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    prefixes = [f"{PREFIX}_service{which}" for which in ("", "_too", "_before")]
    with sharing(milvus_url, prefixes[0], tmp_path, monkeypatch) as them, emptied(milvus_url, *prefixes):
        yield them


def alerts(client: httpx.Client) -> list[str]:
    return [alert["image_id"] for alert in client.get("/alerts").json()["alerts"]]


def events(client: httpx.Client, after: int, count: int) -> list[str]:
    """Ids of the next alerts that a listener is told after one."""
    with client.stream("GET", "/alerts/events", headers={"Last-Event-ID": str(after)}) as response:
        ids = (line for line in response.iter_lines() if line.startswith("id: "))
        return [next(ids) for _ in range(count)]


def matches(client: httpx.Client, colour: tuple[int, int, int]) -> list[str]:
    found = client.post("/query", files={"image": ("x", image_file(colour))}, data={"top_k": "50"})
    assert found.status_code == 200, found.text
    return [match["image_id"] for match in found.json()["matches"]]


def folders_and_collections(shared: Shared) -> tuple[set[str], int]:
    """Folders of the object store in which something is, and how many collections of Milvus there are."""
    settings = load_settings()
    assert settings.milvus_url is not None
    files = (path for path in (shared.objects / settings.milvus_prefix).rglob("*") if path.is_file())
    with closing(connect(settings.milvus_url, 10)) as client:
        # Of other prefixes that begin alike, no collection is named by a token or is the default one.
        named = re.compile(rf"{settings.milvus_prefix}_(default|[0-9a-f]{{16}})")
        collections = [name for name in client.list_collections() if named.fullmatch(name)]
    return {path.relative_to(shared.objects).parts[1] for path in files}, len(collections)


def test_two_replicas_agree_and_one_answers_when_the_other_is_killed(shared: Shared) -> None:
    with ExitStack() as stack:
        one, first = stack.enter_context(replica(shared, "a"))
        other, _ = stack.enter_context(replica(shared, "b"))

        # What one has acknowledged, the other finds, gives, and refuses to take again.
        assert enroll(one, "red", RED) == 201
        assert matches(other, RED) == ["red"]
        assert other.get("/gallery/red/image").content == image_file(RED)
        assert enroll(other, "red", RED) == 409

        # Of two that enroll one id at once, one does.
        with ThreadPoolExecutor(4) as pool:
            for number in range(6):
                at_once = [
                    pool.submit(enroll, client, f"race-{number}", colour)
                    for client, colour in ((one, GREEN), (other, BLUE), (one, BLUE), (other, GREEN))
                ]
                assert sorted(each.result() for each in at_once) == [201, 409, 409, 409]
        assert len(other.get("/gallery", params={"limit": 100}).json()["records"]) == 7

        # A collection that one makes is there for the other, and its quota holds between them.
        form = {"name": (None, "north"), "max_images": (None, "3")}
        made = one.post("/collections", files=form)
        assert made.status_code == 201, made.text
        with ThreadPoolExecutor(4) as pool:
            sent = [
                pool.submit(enroll, (one, other)[number % 2], f"n{number}", RED, collection="north")
                for number in range(8)
            ]
            assert sorted(each.result() for each in sent) == [201] * 3 + [507] * 5
        counted = other.get("/collections/north").json()
        assert counted["images"] == 3
        assert one.delete("/collections/north").status_code == 204
        assert other.get("/gallery", params={"collection": "north"}).status_code == 404
        assert folders_and_collections(shared) == ({"default"}, 1), "north has left something"

        # A verdict is known to both.
        probe = {"image": ("x", image_file(RED, kind="BMP"))}
        decided = one.post("/verdicts", files=probe, data={"image_id": "red", "verdict": "same"})
        assert decided.status_code in (200, 201), decided.text
        assert len(other.get("/verdicts").json()["verdicts"]) == 1

        # A watch that one keeps looks at what the other enrolls; both tell of it, and it goes with its image.
        watched = {"image": ("x", image_file(RED, kind="TIFF"))}
        made = one.post("/watches", files=watched, data={"threshold": "0.99", "name": "red"})
        assert made.status_code == 201, made.text
        assert other.get("/watches").json()["watches"] == [made.json()]
        for number, client in enumerate((one, other)):
            assert enroll(client, f"seen-{number}", RED) == 201
            wait_for(lambda number=number: len(alerts(other)) == number + 1)  # type: ignore[misc]
        assert alerts(one) == alerts(other) == ["seen-1", "seen-0"]
        assert events(one, 0, 2) == events(other, 0, 2) == ["id: 1", "id: 2"]
        assert one.delete("/gallery/seen-0").status_code == 204
        assert alerts(other) == ["seen-1"]
        assert other.delete("/gallery/seen-1").status_code == 204

        first.process.send_signal(signal.SIGKILL)
        first.process.wait(20)
        assert enroll(other, "after", BLUE) == 201
        assert "after" in matches(other, BLUE)
        assert other.delete("/gallery/red").status_code == 204
        assert other.get("/verdicts").json()["verdicts"] == []
        ready = other.get("/health/ready")
        assert (ready.status_code, ready.json()["gallery_size"]) == (200, 7)
        metrics = other.get("/metrics").text
        assert "lka_reid_gallery_up 1.0" in metrics
        assert "lka_reid_shared_store_up 1.0" in metrics

    # Neither has kept anything on its disk.
    kept = [path for name in "ab" for path in (shared.folder / name).rglob("*") if path.is_file()]
    assert kept == []
    store = SharedStore(shared.redis.url, load_settings().store_name)
    audit = verify_lines(SharedAudit(store, 1000), Chain(SharedIdHasher(store).subkey(CHAIN)))
    assert audit.fault is None
    assert audit.entries > 40
    store.close()


@contextmanager
def shared_gallery(bundle: Bundle) -> Iterator[Gallery]:
    """The default gallery as a service opens it by the settings of this moment."""
    settings = load_settings()
    store = open_store(settings)
    assert store is not None
    with closing(store), closing(open_shared_gallery(settings, bundle, store)) as gallery:
        yield gallery


def test_services_of_two_prefixes_share_nothing(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.load(shared.bundle)
    image = Enrollment(
        image_id="red",
        camera_id="gate",
        descriptor=np.eye(1, DIM, dtype=np.float32)[0],
        strips=np.zeros(STRIPS, np.float16),
        image=b"x",
        media_type="image/png",
    )
    with shared_gallery(bundle) as one:
        one.enroll(image)
        one.quotas.set(Quota(images=1))
        one.verdicts.decide(Decision(b"probe", "image/png", "red", "same"))
        monkeypatch.setenv("LKA_REID_MILVUS_PREFIX", f"{PREFIX}_service_too")
        with shared_gallery(bundle) as other:
            assert (other.quotas.quota(), other.quotas.usage().images) == (Quota(), 0)
            assert other.verdicts.page().verdicts == ()
            assert other.cameras.overview().cameras == ()
            other.enroll(image)
            other.delete("red")
        assert one.image("red")[0] == b"x"
        assert (one.quotas.usage().images, len(one.verdicts.page().verdicts)) == (1, 1)
        assert [state.camera_id for state in one.cameras.overview().cameras] == ["gate"]


def test_a_gallery_of_before_is_not_opened_without_what_belongs_to_it(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(shared.bundle)
    monkeypatch.setenv("LKA_REID_MILVUS_PREFIX", f"{PREFIX}_service_before")
    with monkeypatch.context() as before:
        before.setattr(collection, "SCHEMA_VERSION", 1)
        before.setattr(opening, "description", lambda _prefix, _collection: {})
        before.setenv("LKA_REID_SHARED_NAME", SHARED_NAME)
        with shared_gallery(bundle) as gallery:
            gallery.quotas.set(Quota(images=7))
    with (
        pytest.raises(GalleryError, match="LKA_REID_SHARED_NAME=lka-reid, and nothing is lost"),
        shared_gallery(bundle),
    ):
        pytest.fail("it was opened")
    monkeypatch.setenv("LKA_REID_SHARED_NAME", SHARED_NAME)
    with shared_gallery(bundle) as gallery:
        assert gallery.quotas.quota() == Quota(images=7)


@contextmanager
def relay(url: str) -> Iterator[tuple[str, threading.Event]]:
    """The address of something that passes bytes on to a server until the event is set; then it is gone."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    gone, pairs = threading.Event(), list[socket.socket]()
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
                if gone.is_set():
                    near.close()
                    return
                far = socket.create_connection((host, int(port)))
            except OSError:
                return
            pairs.extend((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()

    def cut() -> None:
        gone.wait()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in pairs:
            one.close()

    cutting = threading.Thread(target=cut, daemon=True)
    cutting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", gone
    finally:
        gone.set()
        cutting.join(10)


def test_where_milvus_is_gone_readiness_and_answers_name_it(
    shared: Shared, milvus_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKA_REID_MILVUS_TIMEOUT_S", "2")
    with relay(milvus_url) as (address, gone):
        monkeypatch.setenv("LKA_REID_MILVUS_URL", address)
        with replica(shared, "a") as (client, _):
            assert enroll(client, "a") == 201
            gone.set()
            ready = client.get("/health/ready")
            assert ready.status_code == 503
            assert "Milvus" in ready.json()["detail"]
            refused = client.post("/query", files={"image": ("x", image_file(RED))})
            assert (refused.status_code, refused.json()["type"]) == (
                503,
                "urn:lka-reid:problem:gallery-unreachable",
            )
            assert "Milvus" in refused.json()["detail"]
            assert "Traceback" not in refused.text
            assert "lka_reid_gallery_up 0.0" in client.get("/metrics").text


def test_a_service_without_its_milvus_does_not_start_and_says_so(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LKA_REID_MILVUS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LKA_REID_MILVUS_TIMEOUT_S", "1")
    command: Command = command_runner(monkeypatch, capsys)
    ended = command(
        "serve", "--port", free_port(), "--data-dir", shared.folder / "a", "--bundle", shared.bundle
    )
    assert ended.code == 2
    assert "Milvus" in ended.err
    assert "Traceback" not in ended.err


def test_doctor_looks_at_all_that_replicas_share(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from service.diagnosis import sharing

    found = [look(load_settings()) for look in (sharing.shared_store, sharing.milvus, sharing.objects)]
    assert [(one.what, one.state.value) for one in found] == [
        ("shared store", "ok"),
        ("Milvus", "ok"),
        ("object store", "ok"),
    ]
    shared.redis.client.config_set("appendfsync", "everysec")
    assert "appendfsync always" in sharing.shared_store(load_settings()).found
    shared.redis.client.config_set("appendonly", "no")
    wrong = sharing.shared_store(load_settings())
    assert (wrong.state.value, "appendonly is no" in wrong.found) == ("wrong", True)
    monkeypatch.setenv("LKA_REID_MILVUS_INDEX", "IVF_RABITQ")
    assert "needs Milvus 2.6" in sharing.milvus(load_settings()).found
    monkeypatch.setenv("LKA_REID_MILVUS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LKA_REID_MILVUS_TIMEOUT_S", "1")
    assert "Milvus" in sharing.milvus(load_settings()).found
    command: Command = command_runner(monkeypatch, capsys)
    refused = command("gallery", "backup", str(shared.folder / "backup"))
    assert (refused.code, "LKA_REID_GALLERY is milvus" in refused.err) == (2, True)
    assert json.dumps([one.as_json() for one in found])
