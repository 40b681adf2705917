"""The service under load: closed and open loop, beside the bare model in the same run.

python -m benchmarks.load [--seconds 20] [--clients 16] [--runtime auto] [--url http://127.0.0.1:8000]

- bare: the embedder alone in this process, one image and full batches, before and after the load.
- closed loop: so many clients, each asks again when it has its answer; what the service can do at most.
- open loop: queries at random moments (Poisson) at a share of that, whether or not earlier ones are
  answered; a query's time runs from its moment, so that waiting for a free connection counts.

Without --url a service of its own is started with default settings. All runs on this machine: the clients
take their share of the cores that they measure.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.asker import Asker
from benchmarks.query import MANIFEST, serving
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.preprocessing import decode, prepare
from models.runtime import Models

BATCH = 8
SHARES = (0.5, 0.9)


@dataclass(frozen=True)
class Load:
    """What a phase of load gave.

    Attributes:
        name: of the phase.
        seconds: it lasted.
        milliseconds: of every answered query.
        refused: answers other than 200.
        batch: mean images in a batch, nan where the service's metrics do not say.
    """

    name: str
    seconds: float
    milliseconds: NDArray[np.float64]
    refused: int
    batch: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.milliseconds) / self.seconds


def batches_so_far(client: httpx.Client) -> tuple[float, float]:
    """Images and batches since the service started; zeros where workers count them."""
    text = client.get("/metrics").text
    found = [re.search(rf"^lka_reid_batch_images_{kind} (\S+)", text, re.M) for kind in ("sum", "count")]
    images, batches = (float(match[1]) if match else 0.0 for match in found)
    return images, batches


@contextmanager
def counting(client: httpx.Client, means: list[float]) -> Iterator[None]:
    """Append the mean batch size of what happens inside."""
    before = batches_so_far(client)
    yield
    after = batches_so_far(client)
    batches = after[1] - before[1]
    means.append((after[0] - before[0]) / batches if batches else float("nan"))


def closed_loop(client: httpx.Client, ask: Callable[[], int], clients: int, seconds: float) -> Load:
    """`clients` threads, each asking again when it has its answer."""
    spent: list[float] = []
    refused: list[float] = []
    means: list[float] = []

    def work(until: float) -> None:
        while time.perf_counter() < until:
            started = time.perf_counter()
            status = ask()
            (spent if status == 200 else refused).append(1000 * (time.perf_counter() - started))

    with counting(client, means):
        started = time.perf_counter()
        threads = [threading.Thread(target=work, args=(started + seconds,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lasted = time.perf_counter() - started
    return Load(f"closed loop, {clients} clients", lasted, np.array(spent), len(refused), means[0])


def open_loop(client: httpx.Client, ask: Callable[[], int], name: str, rate: float, seconds: float) -> Load:
    """Queries at random moments, `rate` a second on average."""
    source = random.Random(0)  # noqa: S311
    spent: list[float] = []
    refused: list[float] = []
    means: list[float] = []

    def one(moment: float) -> None:
        status = ask()
        (spent if status == 200 else refused).append(1000 * (time.perf_counter() - moment))

    with counting(client, means), ThreadPoolExecutor(64) as pool:
        started = moment = time.perf_counter()
        while moment < started + seconds:
            moment += source.expovariate(rate)
            time.sleep(max(0.0, moment - time.perf_counter()))
            pool.submit(one, moment)
    return Load(name, time.perf_counter() - started, np.array(spent), len(refused), means[0])


def bare(models: Models, images: list[bytes], batch: int, repeats: int) -> NDArray[np.float64]:
    """Milliseconds of forward passes of `batch` images each."""
    prepared = np.stack([prepare(decode(image), models.embedder.input) for image in images[:batch]])
    spent = []
    for _ in range(repeats):
        started = time.perf_counter()
        models.embedder.embed(prepared)
        spent.append(1000 * (time.perf_counter() - started))
    return np.array(spent)


def enrol(client: httpx.Client, rows: list[dict[str, str]], images: dict[str, bytes]) -> None:
    """The demo's gallery; what is there already stays."""
    for row in rows:
        if row["role"] == "gallery":
            fields = {key: row[key] for key in ("vehicle_id", "camera_id")} | {"image_id": row["path"]}
            answer = client.post("/gallery", data=fields, files={"image": images[row["path"]]})
            if answer.status_code != 409:
                answer.raise_for_status()


def print_results(
    loads: list[Load], single: NDArray[np.float64], full: NDArray[np.float64], runtime: str
) -> None:
    """The table, then the ratios against the bare model."""
    table = Table(title=f"/query under load, runtime of the bare model: {runtime}", title_justify="left")
    table.add_column("")
    for name in ("a second", "p50 ms", "p95 ms", "p99 ms", "batch", "refused"):
        table.add_column(name, justify="right")
    for name, batch, spent in (("bare, 1 image", 1, single), (f"bare, {BATCH} images", BATCH, full)):
        p50, p95, p99 = np.percentile(spent, [50, 95, 99])
        rate = 1000 * batch / float(np.median(spent))
        table.add_row(name, f"{rate:.1f}", f"{p50:.1f}", f"{p95:.1f}", f"{p99:.1f}", str(batch), "")
    for load in loads:
        times = (f"{value:.1f}" for value in np.percentile(load.milliseconds, [50, 95, 99]))
        table.add_row(load.name, f"{load.rate:.1f}", *times, f"{load.batch:.1f}", str(load.refused))
    console = Console()
    console.print(table)
    saturated, half = loads[0], loads[1]
    most = 1000 * BATCH / float(np.median(full))
    console.print(f"saturation / bare images a second at batch {BATCH}: {saturated.rate / most:.2f}")
    p99 = float(np.percentile(half.milliseconds, 99))
    console.print(f"p99 at half load / p50 of one bare image: {p99 / float(np.median(single)):.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20, help="of each phase")
    parser.add_argument("--clients", type=int, default=16, help="of the closed loop")
    parser.add_argument("--runtime", default="auto", help="of the bare model and of a service of its own")
    parser.add_argument("--url", help="a running service, with the demo's gallery or an empty one")
    arguments = parser.parse_args()
    with Path(MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = {row["path"]: (MANIFEST.parent / row["path"]).read_bytes() for row in rows}
    probes = [images[row["path"]] for row in rows if row["role"] == "probe"]
    models = Models.load(Bundle.load(DEFAULT_BUNDLE), arguments.runtime)
    single, full = [bare(models, probes, 1, 30)], [bare(models, probes, BATCH, 10)]
    options = ("--runtime", arguments.runtime)
    started = serving(*options) if arguments.url is None else httpx.Client(base_url=arguments.url, timeout=60)
    with started as client:
        enrol(client, rows, images)
        asker = Asker(str(client.base_url), probes)

        def ask() -> int:
            return asker.ask()[0]

        loads = [closed_loop(client, ask, arguments.clients, arguments.seconds)]
        for share in SHARES:
            name = f"open loop, {share:.0%} of that"
            loads.append(open_loop(client, ask, name, share * loads[0].rate, arguments.seconds))
    single.append(bare(models, probes, 1, 30))
    full.append(bare(models, probes, BATCH, 10))
    print_results(loads, np.concatenate(single), np.concatenate(full), models.runtime)


if __name__ == "__main__":
    main()
