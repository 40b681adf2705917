"""What the hand-over to a decoding process costs a lone image, beside decoding it in a thread.

python -m benchmarks.decoding [--rounds 10]

Images of the demo take turns: decoded and prepared in a thread that an event loop waits for, and by a pool of
processes.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import time
from pathlib import Path

import numpy as np
from anyio import to_thread
from rich.console import Console

from models.decoding import decode
from models.decoding.pool import DecodePool
from models.inputspec import InputSpec
from models.preprocessing import prepare

IMAGES = Path(__file__).parent.parent / "service" / "demo" / "images"
SPEC = InputSpec(height=256, width=256)
DEADLINE_S = 60.0


async def measure(files: list[bytes], pool: DecodePool, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each image in a thread, and in a process."""
    in_thread, in_process = [], []
    for _ in range(rounds):
        for data in files:
            started = time.perf_counter()
            await to_thread.run_sync(lambda data: prepare(decode(data), SPEC), data)
            in_thread.append(time.perf_counter() - started)
            started = time.perf_counter()
            await asyncio.wrap_future(pool.prepare([data], SPEC, time.monotonic() + DEADLINE_S))
            in_process.append(time.perf_counter() - started)
    return in_thread, in_process


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help="times that every image is decoded")
    rounds = parser.parse_args().rounds
    files = [path.read_bytes() for path in sorted(IMAGES.glob("*.jpg"))]
    pool = DecodePool(2)
    try:
        pool.start()
        pool.wait_until_ready()
        asyncio.run(measure(files, pool, 1))
        thread, process = (np.array(each) * 1000 for each in asyncio.run(measure(files, pool, rounds)))
    finally:
        pool.close()
    console = Console()
    for name, spent in (("thread", thread), ("process", process)):
        p50, p95 = np.percentile(spent, [50, 95])
        console.print(f"in a {name}: p50 {p50:.2f} ms, p95 {p95:.2f} ms")
    p50s = float(np.median(thread)), float(np.median(process))
    console.print(f"process / thread: {p50s[1] / p50s[0]:.2f}, {p50s[1] - p50s[0]:+.2f} ms (medians)")
    console.print(f"{platform.platform()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
