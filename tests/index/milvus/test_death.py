"""A process that is killed between the writes of the object store and of Milvus leaves nothing half done, and
neither does a Milvus that goes away before it answers."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import UnknownImageError
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
