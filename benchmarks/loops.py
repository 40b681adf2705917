"""Load on a running service: closed loop and open loop, and the moments of an open loop's queries."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import numpy as np
from numpy.typing import NDArray

CONNECTIONS = 64
"""At most so many queries of an open loop are under way; later ones wait, which counts as their time."""


@dataclass(frozen=True)
class Load:
    """What a phase of load measured.

    Attributes:
        name: of the phase.
        seconds: it lasted.
        milliseconds: of every answered query.
        refused: responses other than 200.
        batch: mean images in a batch, nan where the service's metrics do not say.
    """

    name: str
    seconds: float
    milliseconds: NDArray[np.float64]
    refused: int
    batch: float

    @property
    def rate(self) -> float:
        """Answered queries a second."""
        return len(self.milliseconds) / self.seconds

    @property
    def p99(self) -> float:
        """99th percentile, in ms."""
        return float(np.percentile(self.milliseconds, 99))


def steady_moments(rate: float, seconds: float) -> list[float]:
    """Moments in s from the start, evenly spaced, like a camera that sends an image at a fixed interval."""
    return [number / rate for number in range(1, int(rate * seconds) + 1)]


def random_moments(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Moments in s from the start of a Poisson process, like many independent users."""
    source = random.Random(seed)  # noqa: S311
    moments = []
    moment = source.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += source.expovariate(rate)
    return moments


def closed_loop(client: httpx.Client, ask: Callable[[], int], clients: int, seconds: float) -> Load:
    """`clients` threads, each querying again when it has its response."""
    spent: list[float] = []
    refused: list[float] = []
    means: list[float] = []

    def work(until: float) -> None:
        while time.perf_counter() < until:
            started = time.perf_counter()
            status = ask()
            (spent if status == 200 else refused).append(1000 * (time.perf_counter() - started))

    with _counting(client, means):
        started = time.perf_counter()
        threads = [threading.Thread(target=work, args=(started + seconds,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lasted = time.perf_counter() - started
    return Load(f"closed loop, {clients} clients", lasted, np.array(spent), len(refused), means[0])


def open_loop(client: httpx.Client, ask: Callable[[], int], name: str, moments: list[float]) -> Load:
    """A query at each of the moments, whether or not earlier ones are answered.

    A query's time begins at its moment, so that waiting for a free connection counts.
    """
    spent: list[float] = []
    refused: list[float] = []
    means: list[float] = []

    def one(moment: float) -> None:
        status = ask()
        (spent if status == 200 else refused).append(1000 * (time.perf_counter() - moment))

    with _counting(client, means), ThreadPoolExecutor(CONNECTIONS) as pool:
        started = time.perf_counter()
        for after in moments:
            time.sleep(max(0.0, started + after - time.perf_counter()))
            pool.submit(one, started + after)
    return Load(name, time.perf_counter() - started, np.array(spent), len(refused), means[0])


@contextmanager
def _counting(client: httpx.Client, means: list[float]) -> Iterator[None]:
    """Append the mean size of the batches inside the context."""
    before = _batches_so_far(client)
    yield
    after = _batches_so_far(client)
    batches = after[1] - before[1]
    means.append((after[0] - before[0]) / batches if batches else float("nan"))


def _batches_so_far(client: httpx.Client) -> tuple[float, float]:
    """Images and batches since the service started; zeros where workers count them."""
    text = client.get("/metrics").text
    found = [re.search(rf"^lka_reid_batch_images_{kind} (\S+)", text, re.M) for kind in ("sum", "count")]
    images, batches = (float(match[1]) if match else 0.0 for match in found)
    return images, batches
