"""An object store gives back what was written, in a folder and in S3 alike, and removes what it is told "
"to."""

from __future__ import annotations

import importlib.util
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from index.objects import FsspecObjects, ObjectStoreError, UnknownObjectError, open_objects
from tests.servers import program

pytest.importorskip("fsspec", reason="fsspec is of the extra [milvus]; `make servers` installs it")


def answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """The options of a bucket `tests` in moto's server: an imitation of S3, over HTTP."""
    server = program("moto_server")
    if server is None or importlib.util.find_spec("s3fs") is None:
        pytest.skip("S3 is left out: moto's server or s3fs is not there; `make servers` installs them")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    running = subprocess.Popen(
        [server, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while not answers(port):
            assert time.monotonic() < until, "moto's server did not start"
            time.sleep(0.1)
        options = {
            "key": "k",
            "secret": "s",
            "endpoint_url": f"http://127.0.0.1:{port}",
            "client_kwargs": {"region_name": "us-east-1"},
        }
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True, **options).call_s3("create_bucket", Bucket="tests")
        yield options
    finally:
        running.kill()
        running.wait()


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.milvus)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FsspecObjects:
    if request.param == "folder":
        return open_objects(str(tmp_path / "objects"))
    return open_objects(f"s3://tests/{tmp_path.name}", request.getfixturevalue("s3"))


def test_what_is_written_is_read_listed_and_removed(store: FsspecObjects) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)
    contents = {f"image/{number}": bytes([number]) * (number + 1) for number in range(20)} | {
        "strips/1": b"s"
    }
    store.write(contents)
    assert store.read("image/7") == contents["image/7"]
    assert store.read_many(["image/1", "image/none", "strips/1"]) == {
        "image/1": contents["image/1"],
        "strips/1": b"s",
    }
    listed = {one.name: one for one in store.under("image")}
    assert {name: one.size for name, one in listed.items()} == {
        name: len(data) for name, data in contents.items() if name.startswith("image/")
    }
    assert all(began <= one.written_at <= datetime.now(UTC) + timedelta(seconds=2) for one in listed.values())
    store.remove(["image/7", "image/none", "image/8"])
    with pytest.raises(UnknownObjectError, match="image/7"):
        store.read("image/7")
    assert {one.name for one in store.under("image")} == listed.keys() - {"image/7", "image/8"}
    assert list(store.under("nothing")) == []
    assert store.fault() is None
    store.write({})
    store.remove([])
    assert store.read_many([]) == {}


def test_names_below_a_folder_are_apart(store: FsspecObjects) -> None:
    one, other = store.below("one"), store.below("other")
    one.write({"image/1": b"a"})
    other.write({"image/1": b"b"})
    assert (one.read("image/1"), other.read("image/1")) == (b"a", b"b")
    assert [found.name for found in one.under("image")] == ["image/1"]
    one.remove(["image/1"])
    assert other.read("image/1") == b"b"


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    store = open_objects((tmp_path / "objects").as_uri())
    store.below("default").write({"image/1": b"a"})
    found = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode for path in tmp_path.rglob("*")}
    modes = {name: stat.S_IMODE(mode) for name, mode in found.items()}
    assert modes == {
        "objects": 0o700,
        "objects/default": 0o700,
        "objects/default/image": 0o700,
        "objects/default/image/1": 0o600,
    }


def test_a_store_that_cannot_be_used_names_its_setting(tmp_path: Path) -> None:
    for url in ("ftp://host/folder", "s3://"):
        with pytest.raises(ObjectStoreError, match="LKA_REID_OBJECTS_URL"):
            open_objects(url)
    store = open_objects(str(tmp_path / "objects"))
    (tmp_path / "objects" / "image").write_bytes(b"no folder")
    with pytest.raises(ObjectStoreError, match="LKA_REID_OBJECTS_URL"):
        store.write({"image/1": b"a"})


@pytest.mark.milvus
def test_a_bucket_that_is_not_there_is_an_error_without_its_keys(s3: dict[str, Any]) -> None:
    store = open_objects("s3://nobodys-bucket/x", s3 | {"secret": "a-secret-word"})
    with pytest.raises(ObjectStoreError) as caught:
        store.write({"image/1": b"a"})
    assert "a-secret-word" not in str(caught.value)
