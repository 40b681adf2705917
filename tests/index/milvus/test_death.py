"""A process that is killed between the writes of the object store and of Milvus leaves nothing half done, and
neither does a Milvus that goes away before it answers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import Quota, UnknownImageError
from index.milvus import MilvusError, MilvusGallery
from index.milvus import gallery as gallery_module
from tests.index.milvus.kept import OnMilvus
from tests.index.samples import enrollment

pytestmark = pytest.mark.milvus


def killed(on_milvus: OnMilvus, change: str, step: str) -> None:
    where = (on_milvus.setup.url, on_milvus.setup.objects_url)
    command = [sys.executable, "-m", "tests.index.milvus.mortal", *where, change, step]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "opened\n"), done.stderr


def files(on_milvus: OnMilvus) -> list[str]:
    root = Path(on_milvus.setup.objects_url)
    return sorted(path.parent.name for path in root.rglob("*/*/*/*") if path.is_file())


def test_killed_after_the_objects_the_image_is_not_enrolled_and_its_objects_are_swept(
    on_milvus: OnMilvus,
) -> None:
    gallery = on_milvus()
    killed(on_milvus, "enroll", "insert")
    assert gallery.count() == 0
    assert files(on_milvus) == ["image", "strips"]
    # They may be those of an image that is being enrolled.
    assert gallery.sweep().objects == 0
    assert gallery.enroll(enrollment("a")).image_id == "a"
    assert gallery.sweep(grace_s=0).objects == 2
    assert files(on_milvus) == ["image", "strips"]
    assert gallery.image("a")[0] == enrollment("a").image


def test_killed_after_the_rows_the_image_is_enrolled_and_whole(on_milvus: OnMilvus) -> None:
    gallery = on_milvus()
    killed(on_milvus, "enroll", "extend")
    assert gallery.get("a").vehicle_id == "vehicle of a"
    assert gallery.image("a")[0] == enrollment("a").image
    [[match]] = gallery.search(enrollment("a").descriptor[np.newaxis], k=1, strips=1)
    np.testing.assert_array_equal(np.asarray(match.strips), np.asarray(enrollment("a").strips))
    assert gallery.quotas.usage().images == 0
    assert gallery.sweep(grace_s=0, settle_s=0).objects == 0
    settled = gallery.quotas.usage()
    assert (settled.images, settled) == (1, gallery.recount())
    gallery.delete("a")
    assert files(on_milvus) == []


def test_killed_after_the_rows_are_deleted_the_image_is_gone_and_its_objects_are_swept(
    on_milvus: OnMilvus,
) -> None:
    gallery = on_milvus()
    gallery.enroll_many([enrollment("a"), enrollment("b")])
    killed(on_milvus, "delete", "objects")
    with pytest.raises(UnknownImageError):
        gallery.image("a")
    assert files(on_milvus) == ["image", "image", "strips", "strips"]
    assert gallery.quotas.usage().images == 2
    assert gallery.sweep(grace_s=0, settle_s=0).objects == 2
    settled = gallery.quotas.usage()
    assert (settled.images, settled) == (1, gallery.recount())
    assert gallery.image("b")[0] == enrollment("b").image


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def test_an_insert_whose_answer_is_lost_and_that_is_sent_again_is_there_once(
    on_milvus: OnMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = on_milvus()
    grpc = pytest.importorskip("grpc")

    class Unanswered(grpc.RpcError):  # type: ignore[misc, name-defined]
        """What a client is told whose connection ended before its answer came."""

        def code(self) -> Any:
            return grpc.StatusCode.UNAVAILABLE

        def details(self) -> str:
            return "Socket closed"

    stub = gallery._engine._client._get_connection()._stub
    lost = list[str]()

    def unanswered(method: str) -> Any:
        send = getattr(stub, method)

        def sent(*arguments: Any, **more: Any) -> Any:
            answer = send(*arguments, **more)
            if not lost:
                lost.append(method)
                raise Unanswered
            return answer

        return sent

    for method in ("Insert", "Upsert"):
        monkeypatch.setattr(stub, method, unanswered(method))
    gallery.enroll(enrollment("a"))
    assert len(lost) == 1
    assert gallery.count() == 1
    assert [record.image_id for record in gallery.page().records] == ["a"]


@pytest.mark.parametrize("is_there", [True, False])
def test_an_image_that_was_refused_as_milvus_went_away_is_counted_if_it_is_there(
    on_milvus: OnMilvus, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    monkeypatch.setattr(gallery_module, "SETTLED_EVERY_S", 0.05)
    gallery: MilvusGallery = on_milvus()
    gallery.quotas.set(Quota(images=1))
    insert = gallery._engine.insert

    def goes_away(*_: Any, **__: Any) -> Any:
        raise MilvusError("it went away")

    def inserts_and_goes_away(rows: Any) -> None:
        if is_there:
            insert(rows)
        raise MilvusError("it went away")

    rows, asked = gallery._engine.rows, list[bool]()

    def whether_the_id_is_taken(*arguments: Any, **more: Any) -> Any:
        if asked:
            goes_away()
        asked.append(True)
        return rows(*arguments, **more)

    with monkeypatch.context() as away:
        away.setattr(gallery._engine, "rows", whether_the_id_is_taken)
        away.setattr(gallery._engine, "insert", inserts_and_goes_away)
        away.setattr(gallery._engine, "delete", goes_away)
        with pytest.raises(MilvusError, match="it went away"):
            gallery.enroll(enrollment("a", camera_id="gate"))
        assert gallery.quotas.usage().images == 0
    if is_there:
        wait_for(lambda: gallery.quotas.usage().images == 1)
        assert gallery.image("a")[0] == enrollment("a").image
        wait_for(lambda: [state.camera_id for state in gallery.cameras.overview().cameras] == ["gate"])
        assert gallery.quotas.usage() == gallery.recount()
    else:
        # Its room is free again: there is one place.
        wait_for(lambda: not gallery._writer._in_doubt)
        gallery.enroll(enrollment("b"))
    assert gallery.count() == 1
