"""The service under load: closed and open loop, beside the bare model in the same run.

python -m benchmarks.load [--seconds 20] [--clients 16] [--runtime auto] [--bundle FOLDER] [--url URL]

- bare: the embedder alone in this process, at every batch size up to 8, before and after the load.
- closed loop: each client queries again when it has its response; the service's highest rate.
- open loop, steady: queries evenly spaced, at a share of that rate, whether or not earlier ones are answered.
- open loop, random: as many at random moments (Poisson), drawn from a fixed seed.
- perfect queue: the bare model behind a queue that costs nothing, with the arrivals of the random phase. No
  service around this model on this machine can be faster.

A query's time begins at its moment, so that waiting for a free connection counts. Without --url a service is
started with default settings. All of it runs on this machine: the clients share the cores that they measure.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.loops import Load, closed_loop, open_loop, random_moments, steady_moments
from benchmarks.options import RUNTIMES, bundle_in, runtime_that_starts
from benchmarks.query import MANIFEST, serving
from benchmarks.query_client import QueryClient
from benchmarks.queueing import perfect_queue
from models.bundle import DEFAULT_BUNDLE
from models.decoding import decode
from models.preprocessing import prepare
from models.runtime import Models

BATCH = 8
FEW, MOST = 4, 20
"""Bare passes of a batch size before the load, and again after it; most for the sizes in the ratios."""
SHARES = (0.5, 0.9)


class Bare:
    """The embedder alone: milliseconds of forward passes by batch size."""

    def __init__(self, models: Models, images: list[bytes]) -> None:
        self._embedder = models.embedder
        self._images = np.stack([prepare(decode(image), models.embedder.input) for image in images[:BATCH]])
        self.milliseconds: dict[int, list[float]] = defaultdict(list)

    def measure(self) -> None:
        """Passes of every size, those of one size after each other; the first of each size is not counted."""
        for batch in range(1, BATCH + 1):
            self._embedder.embed(self._images[:batch])
            for _ in range(MOST if batch in (1, BATCH) else FEW):
                started = time.perf_counter()
                self._embedder.embed(self._images[:batch])
                self.milliseconds[batch].append(1000 * (time.perf_counter() - started))

    def rate(self, batch: int) -> float:
        """Images a second."""
        return 1000 * batch / float(np.median(self.milliseconds[batch]))


def enroll(client: httpx.Client, rows: list[dict[str, str]], images: dict[str, bytes]) -> None:
    """Enroll the demo's gallery; images that are enrolled already stay."""
    for row in rows:
        if row["role"] == "gallery":
            fields = {key: row[key] for key in ("vehicle_id", "camera_id")} | {"image_id": row["path"]}
            response = client.post("/gallery", data=fields, files={"image": images[row["path"]]})
            if response.status_code != 409:
                response.raise_for_status()


def print_results(
    bare: Bare, saturated: Load, steady: list[Load], scattered: list[Load], perfect: list[NDArray[np.float64]]
) -> None:
    """The table, then the ratios against the bare model."""
    table = Table(title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("a second", "p50 ms", "p95 ms", "p99 ms", "batch", "refused"):
        table.add_column(name, justify="right", no_wrap=True)

    def row(name: str, rate: float, spent: NDArray[np.float64] | list[float], *rest: str) -> None:
        table.add_row(name, f"{rate:.1f}", *(f"{v:.1f}" for v in np.percentile(spent, [50, 95, 99])), *rest)

    for batch in (1, BATCH):
        row(f"bare, batch {batch}", bare.rate(batch), bare.milliseconds[batch], str(batch))
    for load in (saturated, *steady):
        row(load.name, load.rate, load.milliseconds, f"{load.batch:.1f}", str(load.refused))
    for load, ideal in zip(scattered, perfect, strict=True):
        row(load.name, load.rate, load.milliseconds, f"{load.batch:.1f}", str(load.refused))
        row("  the same, perfect queue", len(ideal) / load.seconds, ideal)
    # Wide enough for the table without line breaks, on a narrow terminal too.
    console = Console(width=max(Console().width, 92))
    console.print(table)
    single = float(np.median(bare.milliseconds[1]))
    lines = {
        f"saturation / bare images a second at batch {BATCH}": saturated.rate / bare.rate(BATCH),
        "p99 at half load, steady / p50 of one bare image": steady[0].p99 / single,
        "p99 at half load, random / p50 of one bare image": scattered[0].p99 / single,
        "the same of the perfect queue": float(np.percentile(perfect[0], 99)) / single,
        "p99 at half load, random / that of the perfect queue": scattered[0].p99
        / float(np.percentile(perfect[0], 99)),
    }
    for name, ratio in lines.items():
        console.print(f"{name}: {ratio:.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20, help="of each phase")
    parser.add_argument("--clients", type=int, default=16, help="of the closed loop")
    parser.add_argument(
        "--runtime", choices=RUNTIMES, default="auto", help="of the bare model and of a service of its own"
    )
    parser.add_argument(
        "--bundle", type=bundle_in, default=str(DEFAULT_BUNDLE), help="likewise; the shipped one by itself"
    )
    parser.add_argument("--url", help="a running service, with the demo's gallery or an empty one")
    arguments = parser.parse_args()
    runtime = runtime_that_starts(parser, arguments.runtime)
    with Path(MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = {row["path"]: (MANIFEST.parent / row["path"]).read_bytes() for row in rows}
    probes = [images[row["path"]] for row in rows if row["role"] == "probe"]
    models = Models.load(arguments.bundle, runtime)
    bare = Bare(models, probes)
    bare.measure()
    options = ("--runtime", runtime, "--bundle", str(arguments.bundle.path))
    started = serving(*options) if arguments.url is None else httpx.Client(base_url=arguments.url, timeout=60)
    steady, scattered, moments = [], [], []
    with started as client:
        enroll(client, rows, images)
        sender = QueryClient(str(client.base_url), probes)

        def ask() -> int:
            return sender.query()[0]

        saturated = closed_loop(client, ask, arguments.clients, arguments.seconds)
        for share in SHARES:
            rate = share * saturated.rate
            steady.append(
                open_loop(client, ask, f"{share:.0%} of it, steady", steady_moments(rate, arguments.seconds))
            )
            moments.append(random_moments(rate, arguments.seconds))
            scattered.append(open_loop(client, ask, f"{share:.0%} of it, random", moments[-1]))
    bare.measure()
    perfect = [perfect_queue(each, bare.milliseconds) for each in moments]
    print(f"/query under load, runtime of the bare model: {models.runtime}")
    print_results(bare, saturated, steady, scattered, perfect)


if __name__ == "__main__":
    main()
