"""How many machines, how much memory and what money a gallery of so many sightings takes on Milvus.

python -m benchmarks.sizing [--images 10M 100M 1B] [--measure FOLDER]

Everything is computed from two kinds of numbers: bytes an image, measured in a real gallery (`--measure` does
it again with the image files of a folder), and figures that Milvus' makers publish, each with its page below.
What is neither is an assumption, and an option. Nothing of the tables was run.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from index import Enrollment, LocalGallery
from index.upkeep.statistics import statistics

DIM: Final = 8192
STRIPS: Final = (16, 128)
GIB: Final = 1024**3
GB: Final = 10**9
MONTH_H: Final = 730

SEGMENT_BYTES: Final = GIB
"""Of vectors, at which Milvus seals a segment: dataCoord.segment.maxSize, 1,024 MB by default
(milvus.io/docs/configure_datacoord.md)."""
DISKANN_CODES: Final = 0.125
"""Share of the vectors that DISKANN's codes may take in memory: pq_code_budget_gb_ratio, its default
(milvus.io/docs/v2.5.x/configure_knowhere.md)."""
DISKANN_CACHE: Final = 0.1
"""Share of the vectors whose nodes DISKANN keeps in memory: search_cache_budget_gb_ratio, its default."""
DISKANN_DEGREE: Final = 56
"""Neighbours of a node in DISKANN's graph, 4 bytes each on the disk: max_degree, its default (there)."""
RABITQ_SHARE: Final = 1 / 32
"""Of float32 vectors, what IVF_RABITQ keeps in memory without refinement (milvus.io/docs/ivf-rabitq.md)."""
HNSW_LINKS: Final = 32
"""M of HNSW: 2 M links in the lowest layer, 4 bytes each."""
GIB_PER_CPU: Final = 4
"""GiB of memory for each CPU (alibabacloud.com, "Milvus resource estimation")."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """Of an image, in the mean.

    Attributes:
        descriptor: float16.
        strips: float16.
        image: its file.
        record: what else the database has of it: ids, camera, time, tags, digest, and their indexes.
    """

    descriptor: int
    strips: int
    image: int
    record: int


MEASURED: Final = Bytes(descriptor=16_384, strips=4_096, image=9_771, record=2_592)
"""`python -m benchmarks.sizing --measure service/demo/images` (162 images of 256 px)."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is neither measured nor published.

    Attributes:
        node_gib: memory of a query node.
        filled: share of it that vectors and records may take: the rest is for loading, searching, growing.
        replicas: copies in memory, so that searches go on while one node is gone.
        rows_per_shard: from which on another shard takes a part of the writes.
        node_price: dollars an hour; that of an m6i.16xlarge of AWS, 64 CPUs and 256 GiB, on demand.
        object_price: dollars a GB and month; that of S3.
        disk_price: dollars a GB and month; that of gp3. 0 where the node has NVMe of its own.
    """

    node_gib: int = 256
    filled: float = 0.75
    replicas: int = 2
    rows_per_shard: int = 200_000_000
    node_price: float = 3.072
    object_price: float = 0.023
    disk_price: float = 0.08


@dataclass(frozen=True, slots=True)
class Need:
    """What an index kind takes of a node, for one image: bytes of memory and of its disk."""

    memory: float
    disk: float


KINDS: Final = ("FLAT", "HNSW", "IVF_SQ8", "DISKANN", "IVF_RABITQ")


def need(kind: str, each: Bytes) -> Need:
    """What an image takes of a query node.

    Raises:
        KeyError: for a kind that is not one of KINDS.
    """
    vector = each.descriptor
    vectors = {
        "FLAT": Need(vector, 0),
        "HNSW": Need(vector + 2 * HNSW_LINKS * 4, 0),
        "IVF_SQ8": Need(DIM, 0),
        "DISKANN": Need((DISKANN_CODES + DISKANN_CACHE) * vector, vector + 4 * DISKANN_DEGREE),
        "IVF_RABITQ": Need(RABITQ_SHARE * 4 * DIM, 0),
    }[kind]
    return Need(vectors.memory + each.record, vectors.disk)


@dataclass(frozen=True, slots=True)
class Size:
    """What a gallery takes.

    Attributes:
        images: enrolled.
        kind: of the index.
        memory: bytes on all query nodes, all copies.
        disk: bytes on their disks, all copies.
        nodes: query nodes.
        cpus: of all of them.
        shards: of the collection.
        segments: sealed ones.
        objects: bytes in the object store: the engine's own copy, strips and images.
        dollars: a month, without API replicas, workers and traffic.
    """

    images: int
    kind: str
    memory: float
    disk: float
    nodes: int
    cpus: int
    shards: int
    segments: int
    objects: float
    dollars: float


def size(images: int, kind: str, each: Bytes = MEASURED, given: Assumptions | None = None) -> Size:
    """What a gallery of so many images takes with an index of this kind."""
    given = given or Assumptions()
    wanted = need(kind, each)
    memory, disk = (given.replicas * images * part for part in (wanted.memory, wanted.disk))
    nodes = max(given.replicas, math.ceil(memory / (given.node_gib * GIB * given.filled)))
    # The engine's log of vectors and records, and the index that it made of them.
    engine = images * (each.descriptor + each.record + max(wanted.memory, wanted.disk))
    objects = engine + images * (each.strips + each.image)
    return Size(
        images=images,
        kind=kind,
        memory=memory,
        disk=disk,
        nodes=nodes,
        cpus=nodes * given.node_gib // GIB_PER_CPU,
        shards=math.ceil(images / given.rows_per_shard),
        segments=math.ceil(images * each.descriptor / SEGMENT_BYTES),
        objects=objects,
        dollars=nodes * given.node_price * MONTH_H
        + objects / GB * given.object_price
        + disk / GB * given.disk_price,
    )


def measure(folder: Path) -> Bytes:
    """Bytes an image in a gallery with the image files of a folder; descriptors and strips are random.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise FileNotFoundError(f"there are no JPEG or PNG files in {folder}")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "gallery"
        used = []
        for turn in range(2):
            with LocalGallery.open(
                path, fingerprint="sizing", descriptor_dim=DIM, strips_shape=STRIPS, normalisation="off"
            ) as gallery:
                for start in range(0, len(files), 64):
                    begin = turn * len(files) + start
                    gallery.enroll_many(list(_enrollments(files[start : start + 64], begin)))
            found = statistics(path)
            used.append(found.database + found.log - found.free)
    image = sum(file.stat().st_size for file in files) // len(files)
    descriptor, strips = 2 * DIM, 2 * STRIPS[0] * STRIPS[1]
    # What is there once, such as the cameras' sums, is in both.
    each = (used[1] - used[0]) // len(files)
    return Bytes(descriptor, strips, image, max(each - descriptor - strips - image, 0))


def _enrollments(files: Sequence[Path], first: int) -> Iterator[Enrollment]:
    random = np.random.default_rng(first)
    for number, file in enumerate(files, first):
        descriptor = random.standard_normal(DIM, np.float32)
        yield Enrollment(
            image_id=f"camera-{number % 50}/2026-11-27T10:00:00.{number:06}Z",
            vehicle_id=f"vehicle-{number:010}",
            camera_id=f"camera-{number % 50}",
            view="front",
            vehicle_type="car",
            tags=("lane-1",),
            descriptor=descriptor / np.linalg.norm(descriptor),
            strips=random.standard_normal(STRIPS).astype(np.float16),
            image=file.read_bytes(),
            media_type="image/jpeg",
        )


HEADER: Final = (
    *("images", "kind", "shards", "segments", "memory", "NVMe", "query nodes", "CPUs", "object store"),
    "a month",
)


def rows(counts: Sequence[int], each: Bytes = MEASURED, given: Assumptions | None = None) -> list[list[str]]:
    """The table, a row for each number of images and kind."""
    found = []
    for count in counts:
        for kind in KINDS:
            one = size(count, kind, each, given)
            found.append(
                [
                    f"{one.images:,}",
                    one.kind,
                    f"{one.shards:,}",
                    f"{one.segments:,}",
                    _bytes(one.memory),
                    _bytes(one.disk) if one.disk else "-",
                    f"{one.nodes:,}",
                    f"{one.cpus:,}",
                    _bytes(one.objects),
                    f"${one.dollars:,.0f}",
                ]
            )
    return found


def markdown(body: Sequence[Sequence[str]]) -> Iterator[str]:
    """The table as lines of a page."""
    yield f"| {' | '.join(HEADER)} |"
    yield f"|{'---|' * len(HEADER)}"
    for row in body:
        yield f"| {' | '.join(row)} |"


def count_of(text: str) -> int:
    """A number such as 10M or 1B. Raises ValueError."""
    units = {"k": 10**3, "M": 10**6, "B": 10**9}
    found = round(float(text[:-1]) * units[text[-1]]) if text and text[-1] in units else int(text)
    if found < 1:
        raise ValueError(f"{text} is no number of images")
    return found


def _bytes(number: float) -> str:
    return f"{number / 1e12:,.1f} TB" if number >= 1e12 else f"{number / GB:,.0f} GB"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", nargs="+", type=count_of, default=[10**7, 10**8, 10**9], metavar="N")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help="measure bytes an image anew")
    given = Assumptions()
    parser.add_argument("--node-gib", type=int, default=given.node_gib, help="memory of a query node")
    parser.add_argument("--filled", type=float, default=given.filled, help="share of it that is used")
    parser.add_argument("--replicas", type=int, default=given.replicas, help="copies in memory")
    parser.add_argument("--rows-per-shard", type=int, default=given.rows_per_shard)
    parser.add_argument("--node-price", type=float, default=given.node_price, help="dollars an hour")
    parser.add_argument("--object-price", type=float, default=given.object_price, help="$ a GB and month")
    parser.add_argument("--disk-price", type=float, default=given.disk_price, help="$ a GB and month")
    options = vars(parser.parse_args())
    counts, folder = options.pop("images"), options.pop("measure")
    each = MEASURED if folder is None else measure(folder)
    console = Console()
    console.print(
        f"bytes an image: descriptor {each.descriptor:,}, strips {each.strips:,}, image {each.image:,}, "
        f"record {each.record:,}",
        soft_wrap=True,
        highlight=False,
    )
    console.print()
    for line in markdown(rows(counts, each, Assumptions(**options))):
        console.print(line, soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
