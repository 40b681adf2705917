"""A real Redis that keeps what it took, and the two homes of what is no vector."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from index import LocalGallery
from index.database.cameras import Cameras, read_cameras
from index.database.schema import create_tables
from index.gallery import GalleryQuotas, GalleryVerdicts
from index.shared import SharedCameraSums, SharedQuotas, SharedStore, SharedVerdicts
from tests.index.samples import DIM, enrollment
from tests.service.redis_server import DURABLE, RedisServer, redis_server
from tests.service.stores import opened_stores

HOMES = ("local", "shared")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), None, **DURABLE) as running:
        yield running


@pytest.fixture
def connect(server: RedisServer) -> Iterator[Callable[[], SharedStore]]:
    """Opens the store of another replica; it begins empty in each test."""
    with opened_stores(server, "test") as open_it:
        yield open_it


@pytest.fixture
def store(connect: Callable[[], SharedStore]) -> SharedStore:
    return connect()


def wait_until_gone(folder: Path, data: bytes) -> None:
    """Wait until no append-only file below the folder holds these bytes any more."""
    until = time.monotonic() + 60
    while True:
        # Redis renames and removes files while it writes anew.
        with suppress(FileNotFoundError):
            if not any(data in file.read_bytes() for file in folder.rglob("*.aof")):
                return
        assert time.monotonic() < until, "the file was not written anew"
        time.sleep(0.01)


@dataclass
class Home:
    """Where verdicts and a quota are kept, and what enrolls and deletes the images that they are of."""

    verdicts: GalleryVerdicts
    quotas: GalleryQuotas
    enroll: Callable[[str], Any]
    delete: Callable[[str], Any]
    image: Callable[[str], bytes]


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest) -> Home:
    if request.param == "local":
        return local(request.getfixturevalue("open_gallery")())
    return shared(request.getfixturevalue("store"))


def local(gallery: LocalGallery) -> Home:
    return Home(
        gallery.verdicts,
        gallery.quotas,
        lambda image_id: gallery.enroll(enrollment(image_id)),
        gallery.delete,
        lambda image_id: gallery.image(image_id)[0],
    )


def shared(store: SharedStore) -> Home:
    """As a gallery beside the store has to use it: reserve, write, count; delete, forget, release."""
    numbers, records = count(1), dict[str, int]()
    quotas = SharedQuotas(store, "c1")
    verdicts = SharedVerdicts(store, "c1", records.get, quotas)

    def enroll(image_id: str) -> None:
        reservation = quotas.reserve(1, len(enrollment(image_id).image))
        records[image_id] = next(numbers)
        quotas.count(reservation)

    def delete(image_id: str) -> None:
        image = enrollment(image_id).image
        verdicts.forget([records.pop(image_id)], [image])
        quotas.release(1, len(image))

    return Home(verdicts, quotas, enroll, delete, lambda image_id: enrollment(image_id).image)


@dataclass
class CameraHome:
    """Where the sums of cameras are kept, and how they are read."""

    sums: Any
    read: Callable[[], Any]


@pytest.fixture(params=HOMES)
def camera_home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CameraHome]:
    if request.param == "shared":
        its = SharedCameraSums(request.getfixturevalue("store"), "c1", DIM)
        yield CameraHome(its, its.read)
        return
    connection = sqlite3.connect(tmp_path / "database", isolation_level=None)
    create_tables(connection)
    yield CameraHome(Cameras(connection, DIM), lambda: read_cameras(connection, DIM))
    connection.close()
