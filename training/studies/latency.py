"""Milliseconds that one probe costs, on one thread of a CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

import numpy as np
import torch

from training.evaluation.ranking import rank_gallery
from training.evaluation.rerank import rerank
from training.features.extract import Features
from training.studies.baselines import Baseline, Collection
from training.studies.baselines.collection import Floats
from training.studies.comparison import FIRST, OURS, TEST, Cell, first_stage

P = ParamSpec("P")
T = TypeVar("T")

PROBES = 100
WARM_UP = 3
REPEATS = 3
LONGEST = 20.0
FEWEST = 5
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def time_alone(cell: Cell, baselines: Sequence[Baseline], probes: int = PROBES) -> dict[str, float]:
    """`time_probes` in a process of its own with one thread: numpy takes that number when it is loaded."""
    with (
        _one_thread(),
        ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as executor,
    ):
        return executor.submit(time_probes, cell, baselines, probes).result()


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def time_probes(cell: Cell, baselines: Sequence[Baseline], probes: int = PROBES) -> dict[str, float]:
    """Median milliseconds from a probe's descriptor and strips to the ranked gallery, by method.

    Of each probe the fastest of three times counts, which another program's work disturbs least.

    The search of the first stage is part of all of them; the work on the gallery alone is of none.

    Args:
        cell: its test features are the probes and galleries.
        baselines: with the settings to time; they rank for one probe at a time.
        probes: spread over the test features; all where there are fewer. A method that takes 20 s for those
            of a ranking gets no more of them, but 5 at least.

    Raises:
        ComparisonError, FeatureStoreError, WeightsError: the cell cannot be measured.
    """
    torch.set_num_threads(1)
    model = cell.reranker()
    taken: dict[str, list[float]] = {
        name: [] for name in (FIRST, OURS, *(baseline.name for baseline in baselines))
    }
    sides = _probes_and_galleries(cell.features(TEST), probes)
    for queries, gallery in sides:
        collection = Collection(gallery.descriptors)
        timed: dict[str, Callable[[int], object]] = {
            FIRST: lambda i, q=queries, g=gallery: rank_gallery(_search(q, g, i)),  # type: ignore[misc]
            OURS: lambda i, q=queries, g=gallery: rerank(  # type: ignore[misc]
                model, q.select(np.array([i])), g, rank_gallery(_search(q, g, i))
            ),
        }
        for baseline in baselines:
            prepared = baseline.prepared(collection)
            timed[baseline.name] = lambda i, q=queries, p=prepared: p(q.descriptors[i])  # type: ignore[misc]
        for name, rank_one in timed.items():
            taken[name] += _each(rank_one, len(queries.images))
    return {name: float(np.median(values)) for name, values in taken.items()}


def _search(queries: Features, gallery: Features, number: int) -> Floats:
    found: Floats = gallery.descriptors @ queries.descriptors[number]
    return found[None]


def _each(rank_one: Callable[[int], object], count: int) -> list[float]:
    for number in range(min(WARM_UP, count)):
        rank_one(number)
    taken: list[float] = []
    begun = time.perf_counter()
    for number in range(count):
        if len(taken) >= FEWEST and time.perf_counter() - begun > LONGEST:
            break
        fastest = float("inf")
        for _ in range(REPEATS):
            start = time.perf_counter()
            rank_one(number)
            fastest = min(fastest, time.perf_counter() - start)
        taken.append(1000 * fastest)
    return taken


def _probes_and_galleries(features: Features, probes: int) -> Iterator[tuple[Features, Features]]:
    """Some queries of each ranking and their gallery.

    Where each image queries all others, the probes, at most a tenth of the images, leave the gallery
    together: it is prepared once.
    """
    found = first_stage(features)
    for ranking in found:
        images = len(ranking.queries.images)
        alone = ranking.against_others
        most = min(-(-probes // len(found)), max(1, images // 10) if alone else images)
        chosen = np.unique(np.linspace(0, images - 1, most).astype(np.intp))
        gallery = ranking.gallery
        if alone:
            gallery = gallery.select(np.setdiff1d(np.arange(images), chosen))
        yield ranking.queries.select(chosen), gallery
