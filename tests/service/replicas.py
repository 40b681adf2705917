"""Replicas of the service in processes of their own, and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.service.command_line import Process, serving_process
from tests.service.fakes import RED, image_file, write_bundle
from tests.service.redis_server import DURABLE, RedisServer, redis_server


@dataclass
class Shared:
    """What replicas share, as the environment names it."""

    redis: RedisServer
    objects: Path
    folder: Path
    bundle: Path


@contextmanager
def sharing(milvus: str, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    """The environment of replicas on this Milvus, with a Redis of their own."""
    with redis_server(folder, None, **DURABLE) as redis:
        monkeypatch.setenv("LKA_REID_GALLERY", "milvus")
        monkeypatch.setenv("LKA_REID_MILVUS_URL", milvus)
        monkeypatch.setenv("LKA_REID_MILVUS_PREFIX", prefix)
        monkeypatch.setenv("LKA_REID_OBJECTS_URL", str(folder / "objects"))
        monkeypatch.setenv("LKA_REID_SHARED_URL", redis.url)
        monkeypatch.setenv("LKA_REID_SHARED_TIMEOUT_S", "5")
        monkeypatch.setenv("LKA_REID_RATE_PER_S", "0")
        yield Shared(redis, folder / "objects", folder, write_bundle(folder / "bundle"))


@contextmanager
def replica(shared: Shared, name: str) -> Iterator[tuple[httpx.Client, Process]]:
    # A log that nobody reads fills its pipe.
    where = ("--data-dir", shared.folder / name, "--bundle", shared.bundle, "--log-level", "error")
    with (
        serving_process(*where) as process,
        httpx.Client(base_url=process.url, timeout=30) as client,
    ):
        yield client, process


def enroll(client: httpx.Client, image_id: str, colour: tuple[int, int, int] = RED, **more: str) -> int:
    files = {"image": ("x", image_file(colour))}
    sent = client.post("/gallery", files=files, data={"image_id": image_id}, params=more)
    return sent.status_code
