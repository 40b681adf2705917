"""The real service with the shipped bundle, on the shipped images."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "service" / "demo"
START_SECONDS = 180


@dataclass(frozen=True)
class DemoImage:
    """An image of the demo."""

    path: str
    vehicle_id: str
    camera_id: str
    role: str

    def data(self) -> bytes:
        return (DEMO / self.path).read_bytes()


@pytest.fixture(scope="session")
def images() -> list[DemoImage]:
    with (DEMO / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return [
            DemoImage(row["path"], row["vehicle_id"], row["camera_id"], row["role"])
            for row in csv.DictReader(file)
        ]


@dataclass
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    client: httpx.Client

    def enroll(self, image: DemoImage) -> httpx.Response:
        fields = {"image_id": image.path, "vehicle_id": image.vehicle_id, "camera_id": image.camera_id}
        return self.client.post("/gallery", data=fields, files={"image": image.data()})

    def query(self, image: DemoImage, **fields: str) -> httpx.Response:
        return self.client.post("/query", data=fields, files={"image": image.data()})

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def start(
    data_dir: Path, *options: object, module: str = "service.cli", **variables: str
) -> tuple[subprocess.Popen[bytes], str]:
    """`lka-reid serve` on a data directory, with the models of a module, and its URL; it is not ready yet."""
    port = free_port()
    command = [sys.executable, "-m", module, "serve", "--port", port, "--data-dir", data_dir, *options]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LKA_REID_")} | variables
    with data_dir.with_suffix(".log").open("wb") as file:
        process = subprocess.Popen([*map(str, command)], stdout=file, stderr=file, env=environment, cwd=ROOT)
    return process, f"http://127.0.0.1:{port}"


@contextmanager
def serving(
    data_dir: Path, *options: object, module: str = "service.cli", **variables: str
) -> Iterator[Service]:
    """See `start`; ready, and ended afterwards."""
    process, url = start(data_dir, *options, module=module, **variables)
    log = data_dir.with_suffix(".log")
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            until = time.monotonic() + START_SECONDS
            while True:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                try:
                    if client.get("/health/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield Service(process, client)
    finally:
        process.terminate()
        process.wait(30)
