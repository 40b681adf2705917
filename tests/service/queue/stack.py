"""A service, its workers and a Redis, each a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.service.command_line import ROOT, free_port
from tests.service.fakes import write_bundle
from tests.service.redis_server import RedisServer, redis_server

PATIENCE_S = 120.0
QUEUE = "{lka-reid}"


def wait_for(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, f"{what} did not come about within {PATIENCE_S:g} s"
        time.sleep(0.02)


def samples(text: str) -> dict[str, float]:
    """Metrics by name, summed over their labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


class Process:
    """A process of the stack; its log goes to a file."""

    def __init__(self, log: Path, port: int, popen: subprocess.Popen[bytes]) -> None:
        self.log = log
        self.popen = popen
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def said(self, event: str) -> bool:
        return f'"event": "{event}"' in self.log.read_text()

    def metrics(self) -> dict[str, float]:
        return samples(self.client.get("/metrics").text)

    def ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/health/ready").status_code == 200
        return False

    def query(self, image: bytes, **fields: Any) -> httpx.Response:
        return self.client.post("/query", files={"image": ("x", image)}, data=fields)

    def enroll(self, image: bytes, **fields: Any) -> httpx.Response:
        return self.client.post("/gallery", files={"image": ("x", image)}, data=fields)

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self.client.close()


class Stack:
    """Starts services and workers of one queue, and ends them all.

    Args:
        folder: for everything that they write.
        redis: between them.
        settings: of all of them, as in `max_batch=4`.
    """

    def __init__(self, folder: Path, redis: RedisServer, **settings: Any) -> None:
        self.redis = redis
        self.control = folder / "control"
        self.control.mkdir()
        self._folder = folder
        self._settings = {
            "redis_url": redis.url,
            "bundle": write_bundle(folder / "bundle"),
            "redis_timeout_s": 5.0,
        } | settings
        self._ending = ExitStack()
        self._count = 0

    def service(self, **settings: Any) -> Process:
        port = free_port()
        return self._start("serve", port, {"port": port, "data_dir": self._folder / "data"} | settings)

    def worker(self, *arguments: str, delay_s: float = 0, **settings: Any) -> Process:
        port = free_port()
        own = {"metrics_port": port, "request_deadline_s": 5.0}
        return self._start("worker", port, own | settings, *arguments, delay_s=delay_s)

    def started(self, workers: int = 1, **settings: Any) -> tuple[Process, list[Process]]:
        """A service and workers, ready."""
        service = self.service(**settings)
        fellows = [self.worker(**settings) for _ in range(workers)]
        for worker in fellows:
            wait_for(partial(worker.said, "worker_ready"), "a worker")
        wait_for(service.ready, "the service")
        return service, fellows

    @contextmanager
    def held(self) -> Iterator[None]:
        """Workers do not come back from their forward pass."""
        (self.control / "hold").touch()
        try:
            yield
        finally:
            (self.control / "hold").unlink(missing_ok=True)

    def batches(self) -> list[tuple[int, int]]:
        """(pid, images) of every forward pass on real images."""
        path = self.control / "batches"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [(int(pid), int(images)) for pid, images in (line.split() for line in lines)]

    def depth(self) -> int:
        return int(self.redis.client.xlen(f"{QUEUE}:requests"))

    def pending(self) -> int:
        return int(self.redis.client.xpending(f"{QUEUE}:requests", "workers")["pending"])

    def close(self) -> None:
        self._ending.close()

    def _start(
        self, command: str, port: int, settings: dict[str, Any], *arguments: str, delay_s: float = 0
    ) -> Process:
        self._count += 1
        log = self._folder / f"{command}-{self._count}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LKA_REID_")}
        environment |= {"CONTROL": str(self.control), "DELAY_S": str(delay_s), "LKA_REID_LOG_FORMAT": "json"}
        environment |= {
            f"LKA_REID_{name.upper()}": str(value) for name, value in (self._settings | settings).items()
        }
        with log.open("wb") as file:
            popen = subprocess.Popen(
                [sys.executable, "-m", "tests.service.queue.fake_command", command, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        process = Process(log, port, popen)
        self._ending.callback(process.end)
        return process


@contextmanager
def stack(folder: Path, redis_options: dict[str, str] | None = None, **settings: Any) -> Iterator[Stack]:
    """A Redis and a stack on it for the length of a test."""
    with redis_server(folder, None, **(redis_options or {})) as redis:
        it = Stack(folder, redis, **settings)
        try:
            yield it
        finally:
            it.close()
