"""Flat search on a GPU in 16 bits, beside one pass over its memory: milliseconds, and bytes read a second.

python -m benchmarks.search_gpu [--images 1000000] [--rounds 30] [--bandwidth 4300] [--json FILE]

A search reads every descriptor once, however many probes it has: the floor is their bytes by the memory's
bandwidth. That is measured by copies inside the GPU where torch for CUDA is installed (a copy reads and
writes), or given in GB/s. Descriptors are random: the time of a search does not depend on them. A million
takes 16.4 GB of the GPU, and as much again while the index grows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import faiss
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.options import output
from benchmarks.provenance import in_words, provenance, write_json
from benchmarks.search import DIM, TOP, descriptors
from index.vectors.gpu import why_not
from models.runtimes.libraries import gpu_names

CHUNK = 4096
BATCHES = (1, 16, 64)
COPIED = 2 * 1024**3
"""Bytes of the copy that the bandwidth is measured by."""


def on_gpu(device: int) -> Any:
    """An empty flat index in 16 bits on a GPU.

    Raises:
        SystemExit: FAISS cannot search there.
    """
    lack = why_not(device)
    if lack is not None:
        raise SystemExit(
            f"FAISS cannot search on a GPU here: {lack}; install lka-reid[gpu] on a machine with one"
        )
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16, config.device = True, device
    return faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), DIM, config)


def fill(index: Any, images: int, source: np.random.Generator) -> None:
    """Add as many random descriptors: a few of them, again and again, turned by another number of places."""
    drawn = descriptors(min(CHUNK, images), source)
    for start in track(range(0, images, CHUNK), f"adding {images:,} descriptors"):
        index.add(np.roll(drawn, start // CHUNK, axis=1)[: images - start])


def measure(run: Callable[[], object], rounds: int) -> float:
    """The median of so many runs, in ms; two before them do not count."""
    spent = []
    for _ in range(rounds + 2):
        began = time.perf_counter()
        run()
        spent.append(1000 * (time.perf_counter() - began))
    return float(np.median(spent[2:]))


def bandwidth_of(device: int) -> float | None:
    """GB/s that the GPU's memory reads and writes in a copy; None without torch for CUDA."""
    if find_spec("torch") is None:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    source = torch.empty(COPIED, dtype=torch.uint8, device=f"cuda:{device}")
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize(device)

    return 2 * COPIED / 1e6 / measure(copy, 20)


def searches(index: Any, rounds: int, bandwidth: float | None) -> list[dict[str, float | None]]:
    """A row for each number of probes: ms, GB/s read, and the ratio to the floor where it is known."""
    source = np.random.default_rng(1)
    gigabytes = index.ntotal * DIM * 2 / 1e9
    rows: list[dict[str, float | None]] = []
    for batch in BATCHES:
        probes = descriptors(batch, source)
        ms = measure(lambda probes=probes: index.search(probes, TOP), rounds)  # type: ignore[misc]
        floor_ms = None if bandwidth is None else 1000 * gigabytes / bandwidth
        rows.append(
            {
                "probes": batch,
                "ms": ms,
                "gb_per_s": 1000 * gigabytes / ms,
                "floor_ms": floor_ms,
                "ratio": None if floor_ms is None else ms / floor_ms,
            }
        )
    return rows


def tabled(rows: list[dict[str, float | None]], images: int) -> Table:
    """The rows, for a terminal."""
    made = Table(title=f"{images:,} x {DIM} in 16 bits")
    for column in ("probes", "ms", "GB/s read", "floor, ms", "to the floor"):
        made.add_column(column, justify="right")
    for row in rows:
        shown = ["-" if value is None else f"{value:,.3g}" for value in row.values()]
        made.add_row(*shown)
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000_000, help="in the index")
    parser.add_argument("--rounds", type=int, default=30, help="searches of each number of probes")
    parser.add_argument(
        "--bandwidth",
        type=float,
        help="of the GPU's memory in GB/s; measured where torch for CUDA is; without, no ratio",
    )
    parser.add_argument("--device", type=int, default=0, help="number of the GPU")
    parser.add_argument("--json", type=output, help="file for the figures")
    given = parser.parse_args()
    index = on_gpu(given.device)
    fill(index, given.images, np.random.default_rng(0))
    rows = searches(index, given.rounds, given.bandwidth or bandwidth_of(given.device))
    origin = provenance(["faiss-gpu", "numpy"], dict(enumerate(gpu_names())).get(given.device))
    console = Console(width=100)
    console.print(tabled(rows, given.images))
    console.print(in_words(origin))
    if given.json:
        write_json(given.json, {"rows": rows, "provenance": origin})


if __name__ == "__main__":
    main()
