"""Ten times what a service can answer: the rest is told to come back, and memory stays flat."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import DEMO, DemoImage, Service, serving
from tests.end_to_end.overload import Flood, capacity, flood, query
from tests.service.fakes import image_file, write_bundle

TIMES = 10
GROWTH_MIB = 32
RECOVERY_S = 30


def overload(service: Service, image: bytes, seconds: float) -> Flood:
    """Flood a service, see that it says so to those it cannot answer, and that it answers all afterwards."""
    url, request = str(service.client.base_url), query(image)
    rate = asyncio.run(capacity(url, request, min(15, seconds / 2)))
    found = asyncio.run(flood(url, request, TIMES * rate, seconds))
    memory = found.memory_mib
    print(
        f"\n{rate:.1f} queries a second are answered; {found.statuses.total():,} sent at {TIMES} times that "
        f"in {seconds:.0f} s: {dict(sorted(found.statuses.items()))} {dict(found.kinds)}; "
        f"memory, ten times in that time: {', '.join(f'{each:.0f}' for each in _some(memory))} MiB"
    )
    assert found.statuses.keys() <= {200, 503, 504}
    assert min(found.statuses[200], found.statuses[503]) > 0
    assert found.kinds.keys() <= {"overloaded", "deadline-exceeded"}
    assert not found.without_retry
    until = time.monotonic() + RECOVERY_S
    while service.client.post("/query", files={"image": image}).status_code != 200:
        assert time.monotonic() < until
    for _ in range(5):
        assert service.client.post("/query", files={"image": image}).status_code == 200
    return found


def _some(memory: list[float]) -> list[float]:
    return [memory[round(part * (len(memory) - 1) / 9)] for part in range(10)]


@pytest.mark.slow
def test_ten_times_its_capacity_is_refused_politely(tmp_path: Path) -> None:
    options = ("--bundle", write_bundle(tmp_path / "bundle"))
    slow = {"DELAY_S": "0.5", "CONTROL": str(tmp_path), "LKA_REID_MAX_QUEUE": "32"}
    with serving(tmp_path / "data", *options, module="tests.service.queue.fake_command", **slow) as service:
        overload(service, image_file(), 4)


@pytest.mark.soak
def test_memory_stays_flat_at_ten_times_the_capacity(
    tmp_path: Path, images: list[DemoImage], soak_s: float
) -> None:
    with serving(tmp_path / "data") as service:
        for image in images[:40]:
            service.enroll(image)
        memory = overload(service, (DEMO / images[0].path).read_bytes(), soak_s).memory_mib
    # The first part is what queues and pools fill.
    settled = memory[len(memory) // 4 :]
    assert max(settled[len(settled) // 2 :]) - max(settled[: len(settled) // 2]) < GROWTH_MIB
