"""What the seconds are that a worker takes to start, step by step, each start in a process of its own.

python -m benchmarks.starting --repeats 5

It prints the median of each step: wall-clock seconds, and the processor's. Redis is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.provenance import in_words, provenance


class Step(NamedTuple):
    """A step and its seconds, by the clock and of the processor."""

    name: str
    wall: float
    processor: float


def started(threads: int | None) -> list[Step]:
    """Start what a worker starts, in this process."""
    steps: list[Step] = []
    since = time.perf_counter(), time.process_time()

    def end(name: str) -> None:
        nonlocal since
        now = time.perf_counter(), time.process_time()
        steps.append(Step(name, now[0] - since[0], now[1] - since[1]))
        since = now

    import service.worker.process  # noqa: F401 - all that a worker imports
    from models.bundle import Bundle
    from service import resources
    from service.settings import Settings

    end("imports")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), threads=threads, log_level="warning")
        bundle = Bundle.load(settings.bundle)
        end("bundle, hashes checked")
        pool = resources.open_decode_pool(settings)
        pool.start()
        models = resources.load_models(settings, bundle)
        end(f"choosing and loading the runtime ({models.runtime})")
        batcher = resources.start_batcher(settings, models, 2 * settings.max_batch, lambda *_: None)
        end("warm-up")
        pool.wait_until_ready()
        end("waiting for decoding processes")
        batcher.close()
        pool.close()
    return steps


def main() -> None:
    """Start again and again, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="starts")
    parser.add_argument("--threads", type=int, help="of the embedder")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(started(arguments.threads)))
        return
    words = [sys.executable, "-m", "benchmarks.starting", "--once"]
    words += [] if arguments.threads is None else ["--threads", str(arguments.threads)]
    runs: list[list[Step]] = []
    for _ in range(arguments.repeats):
        done = subprocess.run(words, check=True, capture_output=True)
        runs.append([Step(*step) for step in json.loads(done.stdout.splitlines()[-1])])
    table = Table("step", "s", "processor s")
    for steps in zip(*runs, strict=True):
        wall, cpu = median(step.wall for step in steps), median(step.processor for step in steps)
        table.add_row(steps[0].name, f"{wall:.2f}", f"{cpu:.2f}")
    wall = median(sum(step.wall for step in run) for run in runs)
    cpu = median(sum(step.processor for step in run) for run in runs)
    table.add_row("all of it", f"{wall:.2f}", f"{cpu:.2f}")
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(in_words(provenance(["onnxruntime", "openvino"])), markup=False, soft_wrap=True)
    console.print(f"{arguments.repeats} starts, medians; load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
