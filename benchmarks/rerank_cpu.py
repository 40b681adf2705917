"""The re-ranker on a CPU: every runtime that is there, with and without the gallery, beside whole queries."""

from __future__ import annotations

import csv
import json
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.inprocess import serving
from benchmarks.pipeline import open_gallery
from benchmarks.provenance import provenance
from benchmarks.query import MANIFEST
from benchmarks.query_client import QueryClient
from benchmarks.rerankers import AS_SERVED, Halves, Rerank, open_rerankers
from benchmarks.timing import Timing, table
from index import Enrollment, LocalGallery
from models.bundle import Bundle
from models.decoding import decode
from models.preprocessing import prepare
from models.runtime import Embeddings, Models
from models.runtimes.forward import Floats
from service.api.app import create_app
from service.observability import logs
from service.settings import Settings

BATCHES = (1, 16)
BLOCK = 32
QUERIES = 16
SETTLE_S = 0.05
CHUNK = 500
FETCHED = "as served, with the strips' fetch"
AIMS_MS = {"without the fetch": 5.0, "with the fetch": 8.0}
PACKAGES = ("numpy", "onnxruntime", "openvino", "onnx", "faiss-cpu", "fastapi")


@dataclass(frozen=True)
class CandidateLists:
    """What the second stage is given for each of P probes, and which records of the gallery these are.

    Attributes:
        probes: `[P, s, w]`.
        candidates: `[P, n, s, w]`.
        similarities: `[P, n]`.
        ids: n for each probe.
    """

    probes: Halves
    candidates: Halves
    similarities: Floats
    ids: list[list[int]]

    def places(self, batch: int, turn: int) -> NDArray[np.int64]:
        """Which `[repetitions, batch]` probes a turn takes: others in every turn, about `BLOCK` in all."""
        repetitions = max(2, BLOCK // batch)
        return (np.arange(repetitions * batch) + turn * BLOCK).reshape(-1, batch) % len(self.probes)


def report(
    console: Console, path: Path, *, rounds: int, images: int, runtime: str, threads: int
) -> dict[str, Any]:
    """Measure, print, and give the figures as plain types."""
    logs.configure(level="error")
    bundle = Bundle.load(path)
    models = Models.load(bundle, runtime)
    if models.reranker is None:
        raise SystemExit(f"{path}: has no re-ranker")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rerankers, left_out = open_rerankers(bundle, folder, threads)
        gallery = stack.enter_context(open_gallery(bundle, folder / "gallery"))
        with console.status("embedding the demo's images"):
            probes = fill(gallery, models, images)
            lists = first_stage(gallery, models, probes)
        app = create_app(Settings(data_dir=folder, rate_per_s=0), models=models, gallery=gallery)
        client = QueryClient(stack.enter_context(serving(app)), probes)
        raw = Timing(AS_SERVED, 1)
        others = [Timing(name, batch, raw=raw) for name in rerankers for batch in BATCHES]
        forwards = [raw, *others[1:]]
        fetches = [Timing(FETCHED, batch, raw=raw) for batch in BATCHES]
        stages: dict[str, list[float]] = defaultdict(list)
        for turn in track(range(rounds + 1), "measuring", console=console):
            for timing in forwards:
                time_forwards(timing, rerankers[timing.name], lists, turn)
            for timing in fetches:
                time_fetches(timing, rerankers[AS_SERVED], gallery, lists, turn)
            send_queries(client, stages)
            if turn == 0:
                # The first turn warms everything up.
                for timing in (*forwards, *fetches):
                    timing.milliseconds.clear()
                stages.clear()
    ordered = [*forwards[: len(BATCHES)], *fetches, *forwards[len(BATCHES) :]]
    agreements = [agreement(name, rerankers, lists) for name in rerankers if name != AS_SERVED]
    query = share_of_a_query(stages, raw)
    title = f"re-ranking {lists.similarities.shape[1]} candidates, gallery of {images:,} images"
    console.print(table(title, ordered, f"{AS_SERVED}, batch 1"))
    _print_rest(console, agreements, left_out, query, models.runtime)
    for (what, aim), reached in zip(AIMS_MS.items(), (raw.p50, fetches[0].p50), strict=True):
        verdict = "met" if reached < aim else "missed"
        console.print(f"batch 1, {what}: {reached:.2f} ms; aim, below {aim:g} ms: {verdict}", highlight=False)
    return {
        "provenance": provenance(PACKAGES),
        "embedder_runtime": models.runtime,
        "timings": [timing.as_json() for timing in ordered],
        "agreement": agreements,
        "left_out": left_out,
        "query": query,
    }


def fill(gallery: LocalGallery, models: Models, images: int) -> list[bytes]:
    """Enroll the demo's gallery and random images up to `images`; the demo's probes."""
    with MANIFEST.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = {row["path"]: (MANIFEST.parent / row["path"]).read_bytes() for row in rows}
    enrolled = [row["path"] for row in rows if row["role"] == "gallery"]
    gallery.enroll_many([_enrollment(path, _embed(models, files[path])) for path in enrolled])
    source = np.random.default_rng(0)
    dimensions, strips = models.embedder.descriptor_dim, models.embedder.strips or (1, 1)
    for first in range(len(enrolled), images, CHUNK):
        chunk = range(first, min(images, first + CHUNK))
        gallery.enroll_many(
            [_enrollment(f"random_{number}", _random(source, dimensions, strips)) for number in chunk]
        )
    return [files[row["path"]] for row in rows if row["role"] == "probe"]


def first_stage(gallery: LocalGallery, models: Models, probes: list[bytes]) -> CandidateLists:
    """What the gallery finds for the probes."""
    wanted = models.reranker.candidates if models.reranker is not None else 0
    embedded = [_embed(models, probe) for probe in probes]
    found = gallery.search(np.concatenate([each.descriptors for each in embedded]), wanted)
    ids = [[match.record_id for match in matches] for matches in found]
    return CandidateLists(
        np.concatenate([each.strips for each in embedded if each.strips is not None]),
        np.stack([_fetch(gallery, its_ids) for its_ids in ids]),
        np.array([[match.similarity for match in matches] for matches in found], dtype=np.float32),
        ids,
    )


def time_forwards(timing: Timing, rerank: Rerank, lists: CandidateLists, turn: int) -> None:
    """A turn of forward passes over strips that are at hand."""
    time.sleep(SETTLE_S)
    for chosen in lists.places(timing.batch, turn):
        given = lists.probes[chosen], lists.candidates[chosen], lists.similarities[chosen]
        started = time.perf_counter()
        rerank(*given)
        timing.add(time.perf_counter() - started)


def time_fetches(
    timing: Timing, rerank: Rerank, gallery: LocalGallery, lists: CandidateLists, turn: int
) -> None:
    """A turn of forward passes over strips that come from the gallery, probe by probe."""
    time.sleep(SETTLE_S)
    for chosen in lists.places(timing.batch, turn):
        started = time.perf_counter()
        candidates = np.stack([_fetch(gallery, lists.ids[place]) for place in chosen])
        rerank(lists.probes[chosen], candidates, lists.similarities[chosen])
        timing.add(time.perf_counter() - started)


def send_queries(client: QueryClient, stages: dict[str, list[float]]) -> None:
    """A turn of queries: what each stage took, in ms, and the whole as the client sees it."""
    time.sleep(SETTLE_S)
    for _ in range(QUERIES):
        started = time.perf_counter()
        status, body = client.query()
        stages["client"].append(1000 * (time.perf_counter() - started))
        if status != 200:
            raise RuntimeError(f"a query was answered {status}: {body.decode()}")
        for stage, spent in json.loads(body)["timings_ms"].items():
            stages[stage].append(spent)


def share_of_a_query(stages: dict[str, list[float]], raw: Timing) -> dict[str, float]:
    """The second stage in the service, in ms and beside the whole query and the bare forward pass."""
    median = {stage: float(np.median(spent)) for stage, spent in stages.items()}
    return {
        "queries": float(len(stages["total"])),
        "rerank_p50_ms": median["rerank"],
        "rerank_p95_ms": float(np.percentile(stages["rerank"], 95)),
        "total_p50_ms": median["total"],
        "client_p50_ms": median["client"],
        "share_of_total": median["rerank"] / median["total"],
        "stage_beside_bare_forward": median["rerank"] / raw.p50,
    }


def agreement(name: str, rerankers: dict[str, Rerank], lists: CandidateLists) -> dict[str, Any]:
    """How often a re-ranker orders the lists as the served one, and how far apart distances are."""
    given = lists.probes, lists.candidates, lists.similarities
    expected, found = rerankers[AS_SERVED](*given), rerankers[name](*given)
    orders = expected.argsort(axis=1, kind="stable"), found.argsort(axis=1, kind="stable")
    return {
        "name": name,
        "lists": len(expected),
        "same_order": float((orders[0] == orders[1]).all(axis=1).mean()),
        "same_first": float((orders[0][:, 0] == orders[1][:, 0]).mean()),
        "largest_gap": float(np.abs(expected - found).max()),
    }


def _print_rest(
    console: Console,
    agreements: list[dict[str, Any]],
    left_out: dict[str, str],
    query: dict[str, float],
    runtime: str,
) -> None:
    lines = [
        f"{found['name']}: {found['same_order']:.0%} of {found['lists']} lists in the served order, the same "
        f"first in {found['same_first']:.0%}, distances at most {found['largest_gap']:.2g} apart"
        for found in agreements
    ]
    lines += [f"left out: {name}, {why}" for name, why in left_out.items()]
    lines.append(
        f"/query, embedder on {runtime}, median of {query['queries']:.0f}: re-ranking with its fetch "
        f"{query['rerank_p50_ms']:.2f} ms of {query['total_p50_ms']:.1f} ms, {query['share_of_total']:.1%}; "
        f"beside the bare forward pass {query['stage_beside_bare_forward']:.2f}"
    )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _embed(models: Models, image: bytes) -> Embeddings:
    return models.embedder.embed(prepare(decode(image), models.embedder.input)[None])


def _random(source: np.random.Generator, dimensions: int, strips: tuple[int, int]) -> Embeddings:
    descriptor = source.standard_normal((1, dimensions)).astype(np.float32)
    random = source.standard_normal((1, *strips)) / np.sqrt(strips[1])
    return Embeddings(descriptor / np.linalg.norm(descriptor), random.astype(np.float16))


def _enrollment(image_id: str, features: Embeddings) -> Enrollment:
    return Enrollment(
        image_id=image_id,
        descriptor=features.descriptors[0],
        strips=None if features.strips is None else features.strips[0],
        image=b"not looked at",
        media_type="image/jpeg",
    )


def _fetch(gallery: LocalGallery, ids: list[int]) -> Halves:
    """Strips `[n, s, w]` of records that have some."""
    return np.stack([strips for strips in gallery.strips(ids) if strips is not None])
