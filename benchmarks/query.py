"""p50 and p95 of `/query` over the demo gallery, beside the bare embedding in the same run.

python -m benchmarks.query [--rounds 2] [--runtime auto]

Blocks of queries to a running service and of bare embeddings of the same images in this process take turns,
so that both run on the machine in the same state. They are blocks because two processes that take turns at
every image push each other's weights out of the cache. "Bare" is the forward pass alone: no decoding, no
HTTP, no search.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.query_client import QueryClient
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.decoding import decode
from models.preprocessing import prepare
from models.runtime import Models

BLOCK = 20
MANIFEST = Path(__file__).parent.parent / "service" / "demo" / "manifest.csv"


@contextmanager
def serving(*options: str) -> Iterator[httpx.Client]:
    """Start a service with an empty gallery, and end it afterwards; a client of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port), "--data-dir", folder]
        service = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                while True:
                    if service.poll() is not None:
                        raise RuntimeError(f"the service ended with status {service.returncode}")
                    try:
                        if client.get("/health/ready").status_code == 200:
                            break
                    except httpx.TransportError:
                        pass
                    time.sleep(0.2)
                yield client
        finally:
            service.terminate()
            service.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2, help="queries with every probe")
    parser.add_argument("--runtime", default="auto", help="of the service and of the bare embedding")
    arguments = parser.parse_args()
    rows = list(csv.DictReader(MANIFEST.open(encoding="utf-8")))
    images = {row["path"]: (MANIFEST.parent / row["path"]).read_bytes() for row in rows}
    models = Models.load(Bundle.load(DEFAULT_BUNDLE), arguments.runtime)
    seconds: dict[str, list[float]] = defaultdict(list)
    with serving("--runtime", arguments.runtime) as client:
        for row in track([r for r in rows if r["role"] == "gallery"], "enrolling"):
            fields = {key: row[key] for key in ("vehicle_id", "camera_id")} | {"image_id": row["path"]}
            client.post("/gallery", data=fields, files={"image": images[row["path"]]}).raise_for_status()
        probes = [images[row["path"]] for row in rows if row["role"] == "probe"] * arguments.rounds
        sender = QueryClient(str(client.base_url), probes)
        blocks = [probes[start : start + BLOCK] for start in range(0, len(probes), BLOCK)]
        for block in track(blocks, "querying"):
            for _ in block:
                started = time.perf_counter()
                status, body = sender.query()
                seconds["/query as the client sees it"].append(time.perf_counter() - started)
                if status != 200:
                    raise RuntimeError(f"a query was answered {status}: {body.decode()}")
                for stage, spent in json.loads(body)["timings_ms"].items():
                    seconds[stage].append(spent / 1000)
            for image in block:
                prepared = prepare(decode(image), models.embedder.input)[None]
                started = time.perf_counter()
                models.embedder.embed(prepared)
                seconds["bare embedding"].append(time.perf_counter() - started)
    enrolled = sum(row["role"] == "gallery" for row in rows)
    table = Table(title=f"{len(probes)} queries, gallery of {enrolled}, runtime {models.runtime}")
    for column in ("", "p50 ms", "p95 ms"):
        table.add_column(column, justify="left" if not column else "right")
    for name, values in seconds.items():
        p50, p95 = np.percentile(np.array(values) * 1000, [50, 95])
        table.add_row(name, f"{p50:.1f}", f"{p95:.1f}")
    console = Console()
    console.print(table)
    bare = float(np.median(seconds["bare embedding"]))
    for name in ("total", "/query as the client sees it"):
        console.print(
            f"{name} / bare embedding: {float(np.median(seconds[name])) / bare:.3f} (median of each)"
        )
    console.print(f"{platform.platform()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
