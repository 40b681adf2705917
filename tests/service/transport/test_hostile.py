"""Slow and silent clients by the hundred, and an honest one that is served all the same."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.service.command_line import ROOT, serving_process
from tests.service.fakes import image_file, write_bundle

PAUSE_S = 0.02


@contextmanager
def attackers(url: str, seed: int, connections: int) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.service.transport.hostile", url, str(seed), str(connections)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Honest:
    """A client that queries, one image after the other, on a new connection every time."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, headers={"Connection": "close"}, timeout=30)
        self._image = image_file()

    def query(self, seconds: float) -> tuple[Counter[int], list[float]]:
        """Query for so long: what came of it, and the s that each took."""
        until = time.monotonic() + seconds
        statuses: Counter[int] = Counter()
        taken = []
        while time.monotonic() < until:
            begun = time.perf_counter()
            answer = self._client.post("/query", files={"image": ("x", self._image)})
            taken.append(time.perf_counter() - begun)
            statuses[answer.status_code] += 1
            time.sleep(PAUSE_S)
        return statuses, taken


def report(name: str, statuses: Counter[int], taken: list[float]) -> str:
    p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    return (
        f"{name}: {dict(statuses)}, p50 {1000 * p50:.0f} ms, p95 {1000 * p95:.0f} ms, most {max(taken):.1f} s"
    )


def serve_among(folder: Path, connections: int, seconds: float, seed: int) -> None:
    """Measure an honest client before hostile ones come and while they are there.

    It has the address of a third of them. All its queries have to be answered, and the process has to have no
    more connections and not much more memory than its bounds allow.
    """
    bundle = write_bundle(folder / "bundle")
    with serving_process(
        "--data-dir", folder / "data", "--bundle", bundle, "--log-level", "error"
    ) as service:
        honest = Honest(service.url)
        honest.query(0.5)
        before = honest.query(seconds / 4)
        with attackers(service.url, seed, connections):
            time.sleep(min(5.0, seconds / 4))
            during = honest.query(seconds)
            liveness = httpx.get(service.url + "/health/live", timeout=30)
            metrics = httpx.get(service.url + "/metrics", timeout=30).text
        rejected = {
            line.split('"')[1]: int(float(line.rpartition(" ")[2]))
            for line in metrics.splitlines()
            if line.startswith("lka_reid_rejected_total{")
        }
        [memory] = [
            line for line in metrics.splitlines() if line.startswith("process_resident_memory_bytes ")
        ]
        mebibytes = float(memory.split()[1]) / 2**20
        print(f"\n{connections} hostile connections for {seconds:.0f} s, seed {seed}")
        print(report("honest, before", *before))
        print(report("honest, during", *during))
        print(f"memory {mebibytes:.0f} MiB, refused: {rejected}")
        service.process.terminate()
        _, log = service.process.communicate(timeout=60)
    assert set(before[0]) == {200}
    assert set(during[0]) == {200}
    assert liveness.status_code == 200
    assert rejected.keys() & {"request-timeout", "request-head-too-large", "malformed-request", "overloaded"}
    assert not rejected.keys() & {"internal-error", "embedding-failed"}
    assert service.process.returncode == 0
    for failure in ("Traceback", "request_failed", "Exception in ASGI"):
        assert failure not in log, log


@pytest.mark.slow
def test_an_honest_client_is_served_among_hostile_ones(tmp_path: Path) -> None:
    serve_among(tmp_path, connections=200, seconds=6, seed=0)


@pytest.mark.soak
def test_an_honest_client_is_served_among_hostile_ones_for_long(
    tmp_path: Path, soak_s: float, pytestconfig: pytest.Config
) -> None:
    serve_among(tmp_path, connections=1500, seconds=soak_s, seed=pytestconfig.getoption("--seed"))
