"""Kinds of the vector index in a real gallery: what they find, how fast, and what they take.

python -m benchmarks.index --size 10k --kinds flat flat16 compressed hnsw --manifest FOLDER/manifest.csv

Descriptors of real images (of CSV manifests with columns path and vehicle_id) are embedded by the shipped
bundle, which takes about 100 ms an image, and kept in `--cache`. The gallery's are drawn around them
(`benchmarks.index_data`); both are described side by side. Each kind opens the same gallery, which is
enrolled once, piece by piece; queries are images that it does not hold. 1M takes some 20 GB of disk; with
`--keep` the gallery stays there and is measured again by the next call.

- recall@10: share of the ten nearest, by float32 in FAISS alone, that are found.
- R1: share of the queries whose first match is of their vehicle.
- R1 of both: the same after the shipped second stage, of the real images (`--both-stages`: drawn images
  have no strips): each vehicle's first image is a query, the others are the gallery.
- resident: MB of the process once the gallery is open and has been searched.
- p50, p95: ms of one probe's search in the index, candidates read from the database; records are not.
- CPU: ms of processor time of such a search (median), which other programs on the machine hardly change.
- 1 %: the p50 of a search of every hundredth image, as a filter leaves them.
- ratio: p50 to that of FAISS's flat index alone, which is searched for the same query just before.

Settings of a kind are chosen on other queries (`--choosing`) than those that the table is of.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.index_data import Drawn, Floats, Real, character, real
from benchmarks.index_stages import right_answers
from benchmarks.provenance import in_words, provenance
from index import Enrollment, IndexSetup, Kind, LocalGallery
from index.vectors.faisslib import faiss
from index.vectors.snapshot import SNAPSHOT

SIZES = {"1k": 1_000, "10k": 10_000, "100k": 100_000, "1M": 1_000_000, "10M": 10_000_000}
CHUNK = 500
SHOWN = 1_500
"""Drawn images that are described beside the real ones."""
TOP = 10
MOST_BARE = 100_000
"""Images that FAISS's own flat index is made of at most, beside the gallery's."""

Times = NDArray[np.float64]
Search = Callable[[Floats], object]


def enroll(folder: Path, drawn: Drawn, count: int, exact: Exact) -> None:
    """Fill a gallery in the folder, and the exact neighbours of the queries on the way.

    The index that it has meanwhile is not kept: each kind makes its own of the whole gallery.
    """
    meanwhile = IndexSetup(kind="flat16") if count <= MOST_BARE else IndexSetup(kind="compressed", width=16)
    with _open(folder, exact.dim, meanwhile) as gallery:
        pieces = drawn.gallery(count, CHUNK)
        number = 0
        for vehicles, descriptors in track(pieces, f"enrolling {count:,}", total=-(-count // CHUNK)):
            records = gallery.enroll_many(
                [
                    Enrollment(
                        image_id=f"{number + row}",
                        vehicle_id=f"{vehicle}",
                        descriptor=descriptors[row],
                        strips=None,
                        image=b"x",
                        media_type="image/png",
                    )
                    for row, vehicle in enumerate(vehicles)
                ]
            )
            exact.add(descriptors, number)
            number += len(records)
    without_snapshot(folder)


def without_snapshot(folder: Path) -> None:
    """Make the next opening of the gallery build its index of what is stored."""
    shutil.rmtree(folder / SNAPSHOT, ignore_errors=True)


class Exact:
    """The nearest images of each query, kept up while images stream by."""

    def __init__(self, queries: Floats) -> None:
        self._queries = queries
        self.dim = queries.shape[1]
        self._scores = np.full((len(queries), TOP), -np.inf, np.float32)
        self.nearest = np.zeros((len(queries), TOP), np.int64)

    def add(self, descriptors: Floats, first: int) -> None:
        """Images with numbers from `first` on."""
        scores = np.concatenate([self._scores, self._queries @ descriptors.T], axis=1)
        numbers = np.concatenate(
            [
                self.nearest,
                np.broadcast_to(np.arange(len(descriptors)) + first, (len(scores), len(descriptors))),
            ],
            axis=1,
        )
        order = np.argsort(-scores, axis=1)[:, :TOP]
        self._scores = np.take_along_axis(scores, order, 1)
        self.nearest = np.take_along_axis(numbers, order, 1)

    def kept_in(self, folder: Path, fill: Callable[[], None]) -> None:
        """Take the nearest of an earlier call over from the folder, or fill, and leave them there."""
        file = folder / "nearest.npz"
        if not file.exists():
            fill()
            np.savez(file, queries=self._queries, nearest=self.nearest)
        with np.load(file, allow_pickle=False) as kept:
            if not np.array_equal(kept["queries"], self._queries):
                raise SystemExit(f"error: {folder} holds a gallery of other images; name another folder")
            self.nearest = kept["nearest"]


def in_turn(search: Search, beside: Search | None, queries: Floats) -> tuple[Times, Times | None]:
    """ms of each query's search, and of the same search of another index just before it."""
    found: tuple[list[float], list[float]] = ([], [])
    for number, query in enumerate(queries):
        for one, times in zip((beside, search), found, strict=True):
            started = time.perf_counter()
            if one is not None:
                one(query[np.newaxis])
            if number:
                times.append(1e3 * (time.perf_counter() - started))
    return np.array(found[1]), None if beside is None else np.array(found[0])


def cpu_times(search: Search, queries: Floats) -> Times:
    """ms of processor time of each query's search, by all threads."""
    found = []
    for query in queries:
        started = time.process_time()
        search(query[np.newaxis])
        found.append(1e3 * (time.process_time() - started))
    return np.array(found)


def bare(drawn: Drawn, count: int, dim: int) -> Search | None:
    """FAISS's own flat index; None for more images than fit into memory twice."""
    if count > MOST_BARE:
        return None
    flat = faiss.IndexFlatIP(dim)
    for _, descriptors in drawn.gallery(count, CHUNK):
        flat.add(descriptors)

    def search(query: Floats) -> None:
        faiss.omp_set_num_threads(1)
        flat.search(query, TOP)

    return search


def measured(
    folder: Path,
    kind: Kind,
    queries: Floats,
    vehicles: NDArray[np.int64],
    exact: Exact,
    beside: Search | None = None,
) -> dict[str, float]:
    """What a kind is in the gallery of this folder."""
    started = time.monotonic()
    with _open(folder, exact.dim, IndexSetup(kind=kind, train_from=500)) as gallery:
        gallery.wait_for_index()
        built = time.monotonic() - started
        gallery.snapshot()
        state = gallery.index_state()
        if state.kind != kind:
            raise RuntimeError(f"the index is of kind {state.kind}, not {kind}")
        found = [gallery.search(one[np.newaxis], TOP)[0] for one in queries]
        recall = [
            len({int(match.record.image_id) for match in matches} & set(nearest.tolist())) / TOP
            for matches, nearest in zip(found, exact.nearest, strict=True)
        ]
        first = [
            matches[0].record.vehicle_id == f"{vehicle}"
            for matches, vehicle in zip(found, vehicles, strict=True)
        ]
        vectors = gallery._mirror.vectors
        times, others = in_turn(lambda query: vectors.search(query, TOP), beside, queries)
        some = vectors.ids()[::100]
        for one in queries:
            vectors.search(one[np.newaxis], TOP, some)  # what it reads is in the system's memory then
        filtered, _ = in_turn(lambda query: vectors.search(query, TOP, some), None, queries)
        busy = cpu_times(lambda query: vectors.search(query, TOP), queries)
        size, memory, resident = gallery.count(), state.memory_bytes, resident_bytes()
    started = time.monotonic()
    with _open(folder, exact.dim, IndexSetup(kind=kind, train_from=500)) as gallery:
        ready = time.monotonic() - started
        if gallery.count() != size:
            raise RuntimeError("the gallery lost images")
    return {
        "recall": float(np.mean(recall)),
        "R1": float(np.mean(first)),
        "p50": float(np.percentile(times, 50)),
        "p95": float(np.percentile(times, 95)),
        "cpu": float(np.percentile(busy, 50)),
        "filtered": float(np.percentile(filtered, 50)),
        "ratio": float("nan")
        if others is None
        else float(np.percentile(times, 50) / np.percentile(others, 50)),
        "bytes": memory / size,
        "resident": resident / 1e6,
        "built": built,
        "ready": ready,
    }


def resident_bytes() -> int:
    """Of this process, by Linux's account of it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def _open(folder: Path, dim: int, setup: IndexSetup) -> LocalGallery:
    return LocalGallery.open(
        folder, fingerprint="f", descriptor_dim=dim, strips_shape=None, snapshot_every=10**9, index=setup
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="10k", help="images in the gallery")
    parser.add_argument("--kinds", nargs="+", choices=get_args(Kind), default=list(get_args(Kind)))
    parser.add_argument(
        "--manifest", nargs="+", type=Path, required=True, help="CSV manifests of real images"
    )
    parser.add_argument("--most", type=int, default=5_000, help="images of each manifest at most")
    parser.add_argument("--cache", type=Path, default=Path("index-descriptors.npz"))
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument(
        "--keep", type=Path, help="folder that the gallery stays in; a temporary one by default"
    )
    parser.add_argument(
        "--as-left", action="store_true", help="open what the snapshot in --keep holds; nothing is built"
    )
    parser.add_argument("--choosing", action="store_true", help="measure on as many other queries")
    parser.add_argument("--both-stages", action="store_true", help="R1 of both stages, of the real images")
    arguments = parser.parse_args()
    count = SIZES[arguments.size]
    of = real(arguments.manifest, arguments.most, arguments.cache)
    console = Console(width=int(os.environ.get("COLUMNS", "120")))
    if arguments.both_stages:
        console.print(both_stages(of, arguments.kinds))
    else:
        drawn = Drawn(of)
        console.print(described(of.some(SHOWN), drawn, count))
        with tempfile.TemporaryDirectory() as temporary:
            folder = arguments.keep or Path(temporary)
            which = slice(arguments.queries, None) if arguments.choosing else slice(arguments.queries)
            options = arguments.queries, arguments.kinds, which, arguments.as_left
            console.print(table_of_kinds(folder, drawn, count, *options))
    origin = in_words(provenance(["faiss-cpu", "numpy"]))
    console.print(origin, highlight=False, soft_wrap=True)


def described(of: Real, drawn: Drawn, count: int) -> Table:
    """What drawn images are beside real ones."""
    like = list(drawn.gallery(min(count, SHOWN), CHUNK))
    beside = character(np.concatenate([d for _, d in like]), np.concatenate([v for v, _ in like]))
    table = Table("", f"real ({len(of.descriptors):,})", "drawn", title="descriptors")
    for name, value in character(of.descriptors, of.vehicles).items():
        table.add_row(name, f"{value:.3f}", f"{beside[name]:.3f}")
    return table


def table_of_kinds(
    folder: Path, drawn: Drawn, count: int, number: int, kinds: list[Kind], which: slice, as_left: bool
) -> Table:
    """Each kind in a gallery of `count` drawn images, with `number` queries: `which` of twice as many.

    An index that is `as_left` by an earlier call is not built, only opened.
    """
    vehicles, queries = drawn.queries(count, 2 * number)
    exact = Exact(queries)
    folder.mkdir(parents=True, exist_ok=True)
    exact.kept_in(folder, lambda: enroll(folder, drawn, count, exact))
    vehicles, queries, exact.nearest = vehicles[which], queries[which], exact.nearest[which]
    alone = bare(drawn, count, exact.dim)
    columns = (
        "recall@10",
        "R1",
        "p50 ms",
        "p95 ms",
        "CPU ms",
        "1 % ms",
        "ratio",
        "bytes an image",
        "resident MB",
        "built s",
        "ready s",
    )
    table = Table("kind", *columns, title=f"{count:,} images, {len(queries)} queries")
    for kind in kinds:
        if not as_left:
            without_snapshot(folder)
        row = measured(folder, kind, queries, vehicles, exact, alone)
        table.add_row(
            kind,
            f"{row['recall']:.4f}",
            f"{row['R1']:.3f}",
            f"{row['p50']:.1f}",
            f"{row['p95']:.1f}",
            f"{row['cpu']:.1f}",
            f"{row['filtered']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['bytes']:,.0f}",
            f"{row['resident']:,.0f}",
            "" if as_left else f"{row['built']:.1f}",
            f"{row['ready']:.1f}",
        )
    return table


def both_stages(of: Real, kinds: list[Kind]) -> Table:
    """R1 of the first stage and of both with each kind, in a gallery of real images."""
    table = Table("kind", "R1 of the first stage", "R1 of both", "gallery", "queries")
    for kind in kinds:
        first, both, size, number = right_answers(of, kind)
        table.add_row(kind, f"{100 * first:.2f}", f"{100 * both:.2f}", f"{size:,}", f"{number:,}")
    return table


if __name__ == "__main__":
    main()
