"""Worker processes under one parent, which starts anew what ended by itself and has one /metrics.

It knows at once that a worker has ended, and says so in Redis: what that one held is taken over without
waiting for signs of life.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping

import structlog
from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from service.queue.connection import connect_as_set
from service.queue.errors import QueueUnavailableError
from service.queue.keys import Keys
from service.queue.stream import RequestStream
from service.settings import Settings, variable
from service.startup import CommandError

log = structlog.get_logger(__name__)

REFUSED = 2
"""Exit status of a worker that cannot be helped by starting it again."""
FIRST_BACKOFF_S = 0.2
LAST_BACKOFF_S = 10.0
HEALTHY_S = 30.0
"""s after which a worker counts as healthy: the wait before the next start is the shortest again."""
POLL_S = 0.1
SCRAPE_S = 2.0


class Member:
    """One worker process, started anew whenever it ends by itself.

    It is the same command with `--member`: on its stdout come the port of its metrics and its name on the
    queue, and it stops when its stdin ends, so that none outlives the supervisor.

    Attributes:
        port: of its metrics; None while it has none.
        name: of the newest process on the queue; empty before it said so.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self.port: int | None = None
        self.name = ""
        self._command = command
        self._environment = {**os.environ, **environment}
        self._backoff_s = FIRST_BACKOFF_S
        self._next_start = 0.0
        self._started = 0.0
        self._process: subprocess.Popen[str] | None = None

    def tend(self) -> int | None:
        """Start the process where it is time to; the exit status where it has ended since the last look."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._next_start:
                self._start()
            return None
        status = self._process.poll()
        if status is not None:
            self._backoff_s = (
                FIRST_BACKOFF_S
                if now - self._started >= HEALTHY_S
                else min(2 * self._backoff_s, LAST_BACKOFF_S)
            )
            self._next_start = now + self._backoff_s
            self._close()
        return status

    def stop(self, patience_s: float) -> None:
        """Let the process answer what it holds and end; kill it after `patience_s`."""
        if self._process is None:
            return
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            log.error("worker_killed", pid=self._process.pid)
            self._process.kill()
            self._process.wait()
        self._close()

    def terminate(self) -> None:
        """Tell the process to end."""
        if self._process is not None:
            self._process.terminate()

    def _start(self) -> None:
        self._started = time.monotonic()
        self.name = ""
        self._process = subprocess.Popen(  # noqa: S603 - our own command line
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment,
        )
        threading.Thread(target=self._read_port, args=(self._process,), daemon=True).start()

    def _read_port(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        try:
            port, _, name = process.stdout.readline().strip().partition(" ")
        except ValueError:  # closed, for the process has ended
            return
        if port.isdecimal() and process is self._process:
            self.port, self.name = int(port), name

    def _close(self) -> None:
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
        self._process = None
        self.port = None


class MembersCollector(Collector):
    """What all members measure, each sample with the label `process`."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members

    def collect(self) -> Iterable[Metric]:
        """Ask every member; one that does not answer is left out."""
        merged: dict[str, Metric] = {}
        for number, member in enumerate(self._members):
            for family in self._families(member.port):
                metric = merged.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = sample.labels | {"process": str(number)}
                    metric.add_sample(sample.name, labels, sample.value)
        return merged.values()

    def _families(self, port: int | None) -> Iterable[Metric]:
        if port is None:
            return []
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SCRAPE_S) as answer:
                return list(text_string_to_metric_families(answer.read().decode()))
        except (OSError, ValueError):
            return []


class Supervisor:
    """Keeps `settings.processes` workers running until SIGTERM or SIGINT.

    Args:
        settings: of every worker.
        command: what starts one; this process' own command line when not given.
    """

    def __init__(self, settings: Settings, command: list[str] | None = None) -> None:
        own = command or [sys.executable, *sys.orig_argv[1:]]
        self._settings = settings
        self._members = [
            Member([*own, "--member"], {variable("device_id"): str(device_of(settings, number))})
            for number in range(settings.processes)
        ]
        self._stopping = False
        self._registry = CollectorRegistry()
        self._restarts = Counter(
            "lka_reid_worker_restarts",
            "Worker processes that ended by themselves and were started again.",
            registry=self._registry,
        )

    def run(self) -> None:
        """Start the workers, and again those that end; after a signal wait for them.

        Raises:
            CommandError: the metrics' port is taken, or a worker was refused; the others are stopped.
        """
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda _number, _frame: self._stop())
        settings = self._settings
        try:
            start_http_server(settings.metrics_port, settings.metrics_host, self._registry)
        except OSError as error:
            raise CommandError(
                f"cannot expose metrics on {settings.metrics_host}, port {settings.metrics_port}: "
                f"{error.strerror}; set LKA_REID_METRICS_HOST and LKA_REID_METRICS_PORT"
            ) from None
        self._registry.register(MembersCollector(self._members))
        try:
            while not self._stopping:
                for number, member in enumerate(self._members):
                    self._look_at(number, member, member.tend())
                time.sleep(POLL_S)
        finally:
            for member in self._members:
                member.terminate()
            until = time.monotonic() + settings.drain_s
            for member in self._members:
                member.stop(max(0.0, until - time.monotonic()))

    def _stop(self) -> None:
        self._stopping = True

    def _look_at(self, number: int, member: Member, status: int | None) -> None:
        if status is None or self._stopping:
            return
        if status == REFUSED:
            raise CommandError("a worker cannot start; its own message stands above")
        self._restarts.inc()
        log.error("worker_ended", process=number, status=status)
        try:
            asyncio.run(_tell_of_the_end(self._settings, member.name))
        except (QueueUnavailableError, OSError) as error:
            # Then it is missed by its signs of life.
            log.warning("queue_down", reason=str(error))


def device_of(settings: Settings, number: int) -> int:
    """The GPU of the process of this number: one after the other, and from the first again."""
    return settings.device_id + number % settings.gpus


async def _tell_of_the_end(settings: Settings, worker: str) -> None:
    """Let others take over at once what a worker that has ended held.

    Raises:
        QueueUnavailableError: Redis does not answer.
    """
    redis = connect_as_set(settings, connections=1)
    try:
        held = await RequestStream(redis, redis, Keys(settings.queue_name), worker).leave_behind()
    finally:
        await redis.aclose()
    log.info("left_behind", worker=worker, requests=held)
