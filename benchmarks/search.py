"""Concurrent searches of the gallery beside FAISS alone: milliseconds a probe.

python -m benchmarks.search [--images 20000] [--seconds 5]

- FAISS alone: a flat index of its own, searched for one probe, and for as many together as there are clients.
- gallery: a thread for each client, which searches for one probe again and again: in the gallery itself, and
  by the service's batched search, which searches for all waiting probes in one pass.

Descriptors are random: the time of a search does not depend on them. A gallery of
20,000 takes 1.3 GB of memory and as much disk.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.provenance import cores, in_words, provenance
from benchmarks.timing import Timing, table
from index import Enrollment, Gallery, LocalGallery
from index.vectors.flat import PRODUCT_FROM, PRODUCTS, SCANS, SPARE
from service.retrieval.batched_search import BatchedSearch

DIM, TOP = 8192, 10
CHUNK = 500


def descriptors(count: int, source: np.random.Generator) -> NDArray[np.float32]:
    """Random descriptors of unit length, `[count, 8192]`."""
    drawn = source.standard_normal((count, DIM), dtype=np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def fill(gallery: Gallery, flat: faiss.IndexFlatIP, count: int, source: np.random.Generator) -> None:
    """Enroll `count` random descriptors, and add them to the bare index."""
    for start in track(range(0, count, CHUNK), f"enrolling {count:,} descriptors"):
        drawn = descriptors(min(CHUNK, count - start), source)
        flat.add(drawn)
        gallery.enroll_many(
            [
                Enrollment(
                    image_id=f"{start + row}", descriptor=one, strips=None, image=b"x", media_type="image/png"
                )
                for row, one in enumerate(drawn)
            ]
        )


def alone(flat: faiss.IndexFlatIP, probes: NDArray[np.float32]) -> Callable[[], object]:
    """A search of the bare index with the gallery's settings of FAISS."""

    def run() -> object:
        faiss.omp_set_num_threads(min(len(probes), cores()))
        faiss.cvar.distance_compute_blas_threshold = PRODUCTS if len(probes) >= PRODUCT_FROM else SCANS
        return flat.search(probes, TOP + SPARE)

    return run


def repeat(name: str, batch: int, run: Callable[[], object], seconds: float, raw: Timing | None) -> Timing:
    """One caller that searches again and again."""
    timing = Timing(name, batch, raw=raw)
    run()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(timing.milliseconds) < 3:
        started = time.perf_counter()
        run()
        timing.add(time.perf_counter() - started)
    return timing


def crowd(
    name: str, clients: int, run: Callable[[int], object], seconds: float, raw: Timing | None
) -> Timing:
    """Many callers, each searching again and again; a value is the time of as many searches as clients."""
    timing = Timing(name, clients, raw=raw)
    ended: list[float] = []
    until = time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < until:
            run(number)
            ended.append(time.perf_counter())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # In the first round not all clients have begun, in the last some have ended.
    rounds = sorted(ended)[clients:-clients:clients]
    for before, after in pairwise(rounds):
        timing.add(after - before)
    return timing


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000, help="in the gallery")
    parser.add_argument("--clients", type=int, default=8, help="that ask at the same time")
    parser.add_argument("--seconds", type=float, default=5, help="of each row")
    arguments = parser.parse_args()
    source = np.random.default_rng(0)
    clients, seconds = arguments.clients, arguments.seconds
    probes = descriptors(clients, source)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalGallery.open(
            Path(folder),
            fingerprint="f",
            descriptor_dim=DIM,
            strips_shape=None,
            snapshot_every=2 * arguments.images,
        ) as gallery,
    ):
        flat = faiss.IndexFlatIP(DIM)
        fill(gallery, flat, arguments.images, source)
        together = BatchedSearch(gallery)
        one = repeat("FAISS alone, 1 probe", 1, alone(flat, probes[:1]), seconds, None)
        raw = repeat(f"FAISS alone, {clients} probes together", clients, alone(flat, probes), seconds, one)
        rows = [
            one,
            raw,
            repeat("gallery, 1 client", 1, lambda: together(probes[0], TOP), seconds, one),
            crowd(
                f"gallery, {clients} clients, each for itself",
                clients,
                lambda number: gallery.search(probes[number : number + 1], TOP),
                seconds,
                raw,
            ),
            crowd(
                f"gallery, {clients} clients, as served",
                clients,
                lambda number: together(probes[number], TOP),
                seconds,
                raw,
            ),
        ]
    console = Console()
    title = f"search, {arguments.images:,} images of {DIM} numbers, first {TOP}"
    console.print(table(title, rows, "FAISS alone; its own second row's, to its first"))
    origin = in_words(provenance(["faiss-cpu", "numpy"]))
    console.print(origin, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
