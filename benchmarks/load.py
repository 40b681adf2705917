"""The service under load: closed and open loop, beside the bare model in the same run.

python -m benchmarks.load [--seconds 20] [--clients 16] [--runtime auto] [--url http://127.0.0.1:8000]

- bare: the embedder alone in this process, at every batch size up to 8, before and after the load.
- closed loop: so many clients, each asks again when it has its answer; what the service can do at most.
- open loop, steady: queries at even distances, at a share of that, whether or not earlier ones are answered;
- open loop, random: the same number of them at random moments (Poisson), as the same seed draws them.
- perfect queue: the bare model behind a queue that costs nothing, asked at the very moments of the random
  phase. Where it is slow, no service around this model on this machine can be quick.

A query's time runs from its moment, so that waiting for a free connection counts. Without --url a service of
its own is started with default settings. All runs on this machine: the clients take their share of the cores
that they measure.
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

from benchmarks.asker import Asker
from benchmarks.loops import Load, closed_loop, open_loop, random_moments, steady_moments
from benchmarks.query import MANIFEST, serving
from benchmarks.queueing import perfect_queue
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.decoding import decode
from models.preprocessing import prepare
from models.runtime import Models

BATCH = 8
FEW, MOST = 4, 20
"""Bare passes of a batch size before the load, and again after it; most of those that ratios are taken of."""
SHARES = (0.5, 0.9)


class Bare:
    """The embedder alone: milliseconds of forward passes by batch size."""

    def __init__(self, models: Models, images: list[bytes]) -> None:
        self._embedder = models.embedder
        self._images = np.stack([prepare(decode(image), models.embedder.input) for image in images[:BATCH]])
        self.milliseconds: dict[int, list[float]] = defaultdict(list)

    def measure(self) -> None:
        """Passes of every size, those of one size after each other; the first of each finds its weights."""
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
    """The demo's gallery; what is there already stays."""
    for row in rows:
        if row["role"] == "gallery":
            fields = {key: row[key] for key in ("vehicle_id", "camera_id")} | {"image_id": row["path"]}
            answer = client.post("/gallery", data=fields, files={"image": images[row["path"]]})
            if answer.status_code != 409:
                answer.raise_for_status()


def print_results(
    bare: Bare, saturated: Load, steady: list[Load], chance: list[Load], perfect: list[NDArray[np.float64]]
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
    for load, ideal in zip(chance, perfect, strict=True):
        row(load.name, load.rate, load.milliseconds, f"{load.batch:.1f}", str(load.refused))
        row("  the same, perfect queue", len(ideal) / load.seconds, ideal)
    # On a narrow terminal too, and in a file: a table of figures is no place for broken words.
    console = Console(width=max(Console().width, 92))
    console.print(table)
    single = float(np.median(bare.milliseconds[1]))
    lines = {
        f"saturation / bare images a second at batch {BATCH}": saturated.rate / bare.rate(BATCH),
        "p99 at half load, steady / p50 of one bare image": steady[0].p99 / single,
        "p99 at half load, random / p50 of one bare image": chance[0].p99 / single,
        "the same of the perfect queue": float(np.percentile(perfect[0], 99)) / single,
        "p99 at half load, random / that of the perfect queue": chance[0].p99
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
    parser.add_argument("--runtime", default="auto", help="of the bare model and of a service of its own")
    parser.add_argument("--url", help="a running service, with the demo's gallery or an empty one")
    arguments = parser.parse_args()
    with Path(MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = {row["path"]: (MANIFEST.parent / row["path"]).read_bytes() for row in rows}
    probes = [images[row["path"]] for row in rows if row["role"] == "probe"]
    models = Models.load(Bundle.load(DEFAULT_BUNDLE), arguments.runtime)
    bare = Bare(models, probes)
    bare.measure()
    options = ("--runtime", arguments.runtime)
    started = serving(*options) if arguments.url is None else httpx.Client(base_url=arguments.url, timeout=60)
    steady, chance, moments = [], [], []
    with started as client:
        enroll(client, rows, images)
        asker = Asker(str(client.base_url), probes)

        def ask() -> int:
            return asker.ask()[0]

        saturated = closed_loop(client, ask, arguments.clients, arguments.seconds)
        for share in SHARES:
            rate = share * saturated.rate
            steady.append(
                open_loop(client, ask, f"{share:.0%} of it, steady", steady_moments(rate, arguments.seconds))
            )
            moments.append(random_moments(rate, arguments.seconds))
            chance.append(open_loop(client, ask, f"{share:.0%} of it, random", moments[-1]))
    bare.measure()
    perfect = [perfect_queue(each, bare.milliseconds) for each in moments]
    print(f"/query under load, runtime of the bare model: {models.runtime}")
    print_results(bare, saturated, steady, chance, perfect)


if __name__ == "__main__":
    main()
