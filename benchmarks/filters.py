"""Searches with filters beside one without, in the same gallery: milliseconds a probe.

python -m benchmarks.filters [--images 20000] [--seconds 5]

Images are of 100 cameras in turn, one a second. Filters leave 50 %, 10 % and 1 % of them: by cameras, whose
images lie scattered over the index, and by a window of time, whose images lie together. A row's time has all
that a filter costs: reading which records it lets through from SQLite, and searching those.

Descriptors are random: the time of a search does not depend on them. A gallery of 20,000 takes 1.3 GB of
memory and as much disk.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.provenance import in_words, provenance
from benchmarks.search import CHUNK, DIM, TOP, descriptors, repeat
from benchmarks.timing import table
from index import ALL, Enrollment, Filter, Gallery, LocalGallery

CAMERAS = 100
SHARES = (0.5, 0.1, 0.01)
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def fill(gallery: Gallery, count: int, source: np.random.Generator) -> None:
    """Enroll `count` random descriptors."""
    for start in track(range(0, count, CHUNK), f"enrolling {count:,} descriptors"):
        drawn = descriptors(min(CHUNK, count - start), source)
        gallery.enroll_many(
            [
                Enrollment(
                    image_id=f"{start + row}",
                    camera_id=f"camera-{(start + row) % CAMERAS}",
                    captured_at=BEGIN + timedelta(seconds=start + row),
                    vehicle_type="car",
                    view="front",
                    descriptor=one,
                    strips=None,
                    image=b"x",
                    media_type="image/png",
                )
                for row, one in enumerate(drawn)
            ]
        )


def filters(count: int) -> dict[str, Filter]:
    """What the rows are called, and the filter of each."""
    found = {}
    for share in SHARES:
        cameras = frozenset(f"camera-{number}" for number in range(round(share * CAMERAS)))
        found[f"{share:.0%} by cameras"] = Filter(camera_ids=cameras)
        window = Filter(captured_from=BEGIN, captured_to=BEGIN + timedelta(seconds=share * count))
        found[f"{share:.0%} by time"] = window
    return found


def searching(gallery: Gallery, probes: NDArray[np.float32], where: Filter) -> Callable[[], object]:
    """A search of the gallery for all of the probes."""
    return lambda: gallery.search(probes, TOP, where=where)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000, help="in the gallery")
    parser.add_argument("--seconds", type=float, default=5, help="of each row")
    arguments = parser.parse_args()
    source = np.random.default_rng(0)
    console = Console()
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
        fill(gallery, arguments.images, source)
        for count in (1, 8):
            probes = descriptors(count, source)
            without = repeat("no filter", count, searching(gallery, probes, ALL), arguments.seconds, None)
            rows = [without]
            for name, where in filters(arguments.images).items():
                run = searching(gallery, probes, where)
                rows.append(repeat(name, count, run, arguments.seconds, without))
            title = f"search for {count} at once, {arguments.images:,} images of {DIM} numbers, first {TOP}"
            console.print(table(title, rows, "no filter"))
    origin = in_words(provenance(["faiss-cpu", "numpy"]))
    console.print(origin, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
