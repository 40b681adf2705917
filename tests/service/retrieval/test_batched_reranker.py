"""The second stage in batches: batching changes no distance, and a bad candidate list harms only itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index import Enrollment
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.decoding import decode
from models.preprocessing import prepare
from models.protocols import Reranker
from models.runtime import load_reranker
from service.retrieval.batched_reranker import MAX_BATCH, BatchedReranker, CandidateList, RerankError
from tests.service.fakes import STRIPS, FakeReranker, Running, image_file, make_models, running

PATIENCE = 20.0
BARE = ("bare_1", "bare_2", "bare_3", "bare_4")


class Held:
    """A re-ranker whose first call waits to be let go, and which counts the probes of every call."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self.probes: list[int] = []
        self.entered = threading.Event()
        self.open = threading.Event()

    @property
    def candidates(self) -> int:
        return self._reranker.candidates

    def distances(
        self, probes: NDArray[np.float16], candidates: NDArray[np.float16], similarities: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        self.probes.append(len(probes))
        self.entered.set()
        assert self.open.wait(PATIENCE)
        return self._reranker.distances(probes, candidates, similarities)


def candidate_list(
    source: np.random.Generator, candidates: int, strips: tuple[int, int] = STRIPS
) -> CandidateList:
    """Random strips of unit length, the candidates' not far from the probe's."""

    def unit(values: NDArray[Any]) -> NDArray[np.float16]:
        return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), dtype=np.float16)

    probe = unit(source.standard_normal(strips))
    others = unit(probe + 0.5 * source.standard_normal((candidates, *strips)))
    return CandidateList(probe, others, source.random(candidates, dtype=np.float32))


def alone(reranker: Reranker, given: CandidateList) -> list[float]:
    """The distances by the bare re-ranker, without batcher and padding."""
    answer = reranker.distances(given.probe[None], given.candidates[None], given.similarities[None])
    return [float(distance) for distance in answer[0]]


def together(reranker: Reranker, lists: list[CandidateList]) -> tuple[list[Any], list[int]]:
    """Answers or errors of lists that arrive during another's forward pass, and all batch sizes."""
    held = Held(reranker)
    batches: list[int] = []
    batched = BatchedReranker(held, batches.append)
    first = CandidateList(lists[0].probe, lists[0].candidates[:1], lists[0].similarities[:1])
    with ThreadPoolExecutor(len(lists) + 1) as pool:
        begun = pool.submit(batched.distances, first)
        assert held.entered.wait(PATIENCE)
        calls = []
        for place, its_own in enumerate(lists, start=1):
            calls.append(pool.submit(batched.distances, its_own))
            until(lambda place=place: batched.waiting == place)  # type: ignore[misc]
        held.open.set()
        begun.result(PATIENCE)
        return [call.exception(PATIENCE) or call.result() for call in calls], batches


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.0005)


@settings(deadline=None, max_examples=40)
@given(lengths=st.lists(st.integers(1, 10), min_size=1, max_size=20), seed=st.integers(0, 2**32 - 1))
def test_batching_only_groups(lengths: list[int], seed: int) -> None:
    source = np.random.default_rng(seed)
    lists = [candidate_list(source, length) for length in lengths]
    answers, batches = together(FakeReranker(), lists)
    assert answers == [alone(FakeReranker(), given) for given in lists]
    full, rest = divmod(len(lengths), MAX_BATCH)
    assert batches == [1, *[MAX_BATCH] * full, *[rest] * bool(rest)]


SHIPPED_STRIPS = Bundle.load(DEFAULT_BUNDLE).manifest.strips or (0, 0)


@pytest.fixture(scope="module")
def shipped() -> Reranker:
    reranker = load_reranker(Bundle.load(DEFAULT_BUNDLE))
    assert reranker is not None
    return reranker


@pytest.mark.parametrize("lengths", [[10] * 2, [10] * 7, [10] * MAX_BATCH, [3, 10, 1, 7, 10], [4, 2]])
def test_the_shipped_models_distances_are_the_same_to_the_last_bit_in_company(
    shipped: Reranker, lengths: list[int]
) -> None:
    source = np.random.default_rng(0)
    lists = [candidate_list(source, length, SHIPPED_STRIPS) for length in lengths]
    answers, batches = together(shipped, lists)
    assert answers == [alone(shipped, given) for given in lists]
    assert batches == [1, len(lengths)]


def test_strips_that_are_not_finite_spoil_their_own_answer_alone(shipped: Reranker) -> None:
    source = np.random.default_rng(0)
    lists = [candidate_list(source, 10, SHIPPED_STRIPS) for _ in range(4)]
    lists[1].probe[:] = np.nan
    lists[2].candidates[3, 5, 7] = np.inf
    answers, _ = together(shipped, lists)
    assert [answers[0], answers[3]] == [alone(shipped, lists[0]), alone(shipped, lists[3])]
    for answer in answers[1:3]:
        assert isinstance(answer, RerankError)
        assert "not finite" in str(answer)


def test_a_list_of_other_strips_fails_alone_and_the_others_are_answered() -> None:
    source = np.random.default_rng(0)
    lists = [candidate_list(source, 5), candidate_list(source, 5, (3, 4)), candidate_list(source, 2)]
    lists[1] = CandidateList(lists[1].probe[:2], lists[1].candidates, lists[1].similarities)
    answers, batches = together(FakeReranker(), lists)
    assert isinstance(answers[1], RerankError)
    assert [answers[0], answers[2]] == [
        alone(FakeReranker(), lists[0]),
        alone(FakeReranker(), lists[2]),
    ]
    assert batches == [1, 1, 1]


def test_a_re_ranker_that_fails_answers_everyone_with_the_error() -> None:
    broken = FakeReranker()

    def fail(distances: NDArray[np.float32]) -> NDArray[np.float32]:
        if distances.shape != (1, 1):
            raise RuntimeError("out of memory")
        return distances

    broken.answer = fail
    source = np.random.default_rng(0)
    answers, batches = together(broken, [candidate_list(source, 4) for _ in range(3)])
    for answer in answers:
        assert isinstance(answer, RerankError)
        assert "out of memory" in str(answer)
    assert len({id(answer) for answer in answers}) == 3
    assert batches == [1]


@pytest.mark.slow
def test_concurrent_queries_get_their_own_order_and_go_through_in_batches(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Against the order that each query gets when it is alone; some candidates have no strips."""
    models = make_models()
    assert models.reranker is not None
    with running(tmp_path_factory.mktemp("batched"), models, rate_per_s=0) as service:
        source = np.random.default_rng(1)
        colours = [tuple(map(int, row)) for row in source.integers(0, 255, (24, 3))]
        for number, colour in enumerate(colours):
            service.enroll(image_file(colour), image_id=f"{number:02}").raise_for_status()  # type: ignore[arg-type]
        for name, number in zip(BARE, range(0, 24, 6), strict=True):
            without_strips(service, name, image_file(colours[number]))  # type: ignore[arg-type]
        probes = [image_file(colour) for colour in colours]  # type: ignore[arg-type]
        expected = [answer(service, probe) for probe in probes]
        assert len({tuple(order) for order in expected}) > 12
        assert any(image_id in BARE for order in expected for image_id, _ in order[:10])
        assert sizes(service) == {1: 24}

        def slowly(distances: NDArray[np.float32]) -> NDArray[np.float32]:
            time.sleep(0.02)
            return distances

        models.reranker.answer = slowly
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda probe: answer(service, probe), probes * 3))
        assert found == expected * 3
        assert sum(count for size, count in sizes(service).items() if size > 1) > 0
        assert total(service) == 4 * 24


def without_strips(service: Running, image_id: str, image: bytes) -> None:
    """Enroll an image as a bundle without second stage would."""
    prepared = prepare(decode(image), service.models.bundle.manifest.input)
    [descriptor] = service.models.embedder.embed(prepared[None]).descriptors
    service.gallery.enroll(
        Enrollment(image_id=image_id, descriptor=descriptor, strips=None, image=image, media_type="image/png")
    )


def answer(service: Running, probe: bytes) -> list[tuple[str, float]]:
    matches = service.query(probe, top_k=100).json()["matches"]
    return [(match["image_id"], match["rerank_distance"]) for match in matches]


def metric(service: Running, suffix: str) -> list[tuple[str, float]]:
    lines = service.client.get("/metrics").text.splitlines()
    found = [line.split(" ") for line in lines if line.startswith(f"lka_reid_rerank_batch_probes_{suffix}")]
    return [(name, float(value)) for name, value in found]


def total(service: Running) -> float:
    [(_, value)] = metric(service, "sum")
    return value


def sizes(service: Running) -> dict[float, float]:
    """Forward passes by the bucket of their size, empty ones left out."""
    below, found = 0.0, {}
    for name, value in metric(service, "bucket"):
        if value > below:
            found[float(name.partition('le="')[2].partition('"')[0])] = value - below
        below = value
    return found
