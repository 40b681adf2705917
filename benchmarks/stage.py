"""One stage of the data path: how many images a second it made, and what of a processor an image took."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

SIZES = (1, 64, 256)
CLIENTS = {1: 16, 64: 3, 256: 2}
"""Requests under way at the same time, by the images in each."""


@dataclass(frozen=True)
class Stage:
    """What a stage, or the whole path, made of images.

    Attributes:
        name: of it.
        batch: images at a time.
        per_s: images a second.
        cpu_ms: of a processor for an image, by process.
    """

    name: str
    batch: int
    per_s: float
    cpu_ms: dict[str, float] = field(default_factory=dict)


def measure(
    name: str,
    batch: int,
    work: Callable[[], int],
    seconds: float,
    clients: int = 1,
    cpu_s: Callable[[], dict[str, float]] = lambda: {"": time.process_time()},
) -> Stage:
    """Do a piece of work, which says how many images it was, for so long and by so many threads.

    The first time does not count.

    Raises:
        Exception: what the work raised in any thread.
    """
    work()
    done = [0] * clients
    before, began = cpu_s(), time.perf_counter()

    def serve(number: int) -> None:
        while time.perf_counter() < began + seconds:
            done[number] += work()

    with ThreadPoolExecutor(clients) as threads:
        # A failure of any of them is raised here.
        list(threads.map(serve, range(clients)))
    spent, after, images = time.perf_counter() - began, cpu_s(), max(1, sum(done))
    cpu_ms = {name: 1000 * (after[name] - before.get(name, 0.0)) / images for name in after}
    return Stage(name, batch, images / spent, cpu_ms)
