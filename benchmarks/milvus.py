"""Times of a gallery on Milvus, beside those of Milvus alone in the same run.

    python -m benchmarks.milvus URL [--images 2000] [--dim 8192] [--index FLAT] [--seed 0] [--json FILE]

Descriptors and strips are drawn at random: what is measured is the engine, the object store (a temporary
folder) and what is between. Claims and numbers are of one process. The collection is removed at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.provenance import in_words, provenance, write_json
from index import Enrollment, Filter
from index.milvus import MilvusGallery, MilvusIndex, MilvusSetup, open_milvus_gallery, remove_milvus_gallery

STRIPS = (8, 256)
BATCH = 64
REPEATS = 20
K = 10


def drawn(random: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    """Descriptors `[count, dim]` of unit length."""
    rows = random.standard_normal((count, dim), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def enrollments(random: np.random.Generator, first: int, count: int, dim: int) -> list[Enrollment]:
    """So many of them; every hundredth is of `camera-0`."""
    return [
        Enrollment(
            image_id=f"{first + place}",
            camera_id=f"camera-{(first + place) % 100}",
            descriptor=descriptor,
            strips=random.standard_normal(STRIPS).astype(np.float16),
            image=random.bytes(20_000),
            media_type="image/jpeg",
        )
        for place, descriptor in enumerate(drawn(random, count, dim))
    ]


def median_ms(step: Callable[[int], object]) -> float:
    """Of `REPEATS` calls."""
    taken = []
    for number in range(REPEATS):
        began = time.perf_counter()
        step(number)
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.median(taken))


def measure(gallery: MilvusGallery, random: np.random.Generator, images: int, dim: int) -> dict[str, float]:
    """Milliseconds, by what was done."""
    began = time.perf_counter()
    for first in track(range(0, images, BATCH), description="enrolling"):
        gallery.enroll_many(enrollments(random, first, min(BATCH, images - first), dim))
    found = {"enroll_one_of_a_batch": 1000 * (time.perf_counter() - began) / images}
    single = enrollments(random, images, REPEATS, dim)
    found["enroll"] = median_ms(lambda number: gallery.enroll(single[number]))
    probes = drawn(random, REPEATS, dim)
    engine = gallery._engine
    bare = {"metric_type": "IP", "params": dict(engine.index.search)}
    for level in ("Eventually", "Strong"):
        found[f"bare_search_{level.lower()}"] = median_ms(
            lambda number, level=level: engine._client.search(  # type: ignore[misc]
                engine._name,
                data=[probes[number]],
                anns_field="descriptor",
                limit=K,
                search_params=bare,
                consistency_level=level,
            )
        )
    found["search"] = median_ms(lambda number: gallery.search(probes[number : number + 1], K, strips=K))
    one_percent = Filter(camera_ids=frozenset({"camera-0"}))
    found["search_of_1_percent"] = median_ms(
        lambda number: gallery.search(probes[number : number + 1], K, strips=K, where=one_percent)
    )
    found["delete"] = median_ms(lambda number: gallery.delete(single[number].image_id))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url", help="of Milvus")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--dim", type=int, default=8192)
    parser.add_argument("--index", default="FLAT", help="kind of the vector index")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    asked = parser.parse_args()
    random = np.random.default_rng(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        setup = MilvusSetup(
            asked.url, folder, prefix="benchmark", index=MilvusIndex(asked.index), timeout_s=60
        )
        remove_milvus_gallery(setup, "default")
        try:
            with open_milvus_gallery(
                setup, fingerprint="benchmark", descriptor_dim=asked.dim, strips_shape=STRIPS
            ) as gallery:
                engine = str(gallery.index_state().engine)
                found = measure(gallery, random, asked.images, asked.dim)
        finally:
            remove_milvus_gallery(setup, "default")
    about = provenance(["pymilvus", "fsspec"])
    table = Table(
        "what", "ms", "of the bare Strong search", title=f"{engine}, {asked.images:,} images, d = {asked.dim}"
    )
    for what, taken in found.items():
        table.add_row(what.replace("_", " "), f"{taken:.1f}", f"{taken / found['bare_search_strong']:.2f}")
    console = Console()
    console.print(table)
    console.print(in_words(about))
    if asked.json is not None:
        write_json(asked.json, {"engine": engine, "images": asked.images, "ms": found, "provenance": about})


if __name__ == "__main__":
    main()
