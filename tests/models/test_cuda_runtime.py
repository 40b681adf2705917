"""ONNX Runtime on CUDA, with the CPU in the place of a GPU: graphs and streams serve, or are left out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from models.bundle import Bundle
from models.preprocessing import Pixels
from models.runtime import Models
from models.runtimes import binding, cuda
from models.runtimes.binding import Bound
from models.runtimes.cuda import Opening
from models.runtimes.forward import RuntimeOptions
from models.runtimes.trial import why_not_onnxruntime
from tests.models.explainable import SmallBundle

SIZES = (1, 2, 4)
NO_GPU = why_not_onnxruntime("cuda")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, small_bundle: SmallBundle) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("cuda") / "bundle", "fp32", rerank=False)


@pytest.fixture
def processes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started; `test_a_process_of_its_own_tries_first` starts some."""
    monkeypatch.setattr(cuda, "why_no_process_runs", lambda *_, **__: None)


def options(**changes: Any) -> RuntimeOptions:
    return RuntimeOptions(**{"threads": 1, "batch_sizes": SIZES, **changes})


def images(count: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 64, 64), np.uint8)


class Sessions:
    """Notes the batch size of each run with a CUDA graph; `on_run` is told of it and how often it ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.on_run: Callable[[int, int], None] = lambda _size, _run: None
        self.spoils = False
        self._recording: list[Any] = []
        self._note_what_records(monkeypatch)
        real = onnxruntime.InferenceSession.run_with_iobinding

        def run(session: Any, bound: Any, run_options: Any = None) -> None:
            records = any(session is each for each in self._recording)
            if records:
                [given] = session.get_inputs()
                self.sizes.append(given.shape[0])
                self.on_run(given.shape[0], self.sizes.count(given.shape[0]))
            real(session, bound, run_options)
            if records and self.spoils:
                for value in bound.get_outputs():
                    value.update_inplace(np.ascontiguousarray(value.numpy()[..., ::-1]))

        monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", run)

    def _note_what_records(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Bound.__init__

        def made(bound: Bound, given: Any, *others: Any, records: bool = False) -> None:
            self._recording += given.values() if records else ()
            real(bound, given, *others, records=records)

        monkeypatch.setattr(Bound, "__init__", made)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Sessions:
    request.getfixturevalue("processes_agree")
    return Sessions(monkeypatch)


def assert_right(bundle: Bundle, forward: Any, count: int, seed: int = 0) -> None:
    wanted = Models.load(bundle, "cpu", RuntimeOptions(threads=1)).embedder.embed(images(count, seed))
    descriptors, strips = forward(images(count, seed))
    np.testing.assert_allclose(descriptors, wanted.descriptors, atol=1e-6)
    assert strips is not None
    assert wanted.strips is not None
    np.testing.assert_allclose(strips.astype(np.float16), wanted.strips, atol=1e-3)


def test_every_batch_size_has_a_graph_of_its_own_recorded_before_it_serves(
    bundle: Bundle, sessions: Sessions
) -> None:
    loaded = cuda.load(bundle, options(), "cpu")
    assert (loaded.runtime, loaded.streams, loaded.left_out) == ("cuda-tf32", 1, {})
    assert loaded.nodes["CPUExecutionProvider"] > 20
    # One after the other, each until its graph is there, and once more for the comparison.
    runs = binding.RUNS_TO_RECORD
    assert sessions.sizes[: 3 * runs] == [*[1] * runs, *[2] * runs, *[4] * runs]
    # One of another size is padded to the next, or cut.
    for count, sizes in ((4, [4]), (2, [2]), (1, [1]), (3, [4]), (6, [4, 2])):
        sessions.sizes.clear()
        assert_right(bundle, loaded.forward, count)
        assert sessions.sizes == sizes


@pytest.mark.parametrize("records", [False, True])
def test_each_batch_size_has_a_session_that_takes_no_other(
    bundle: Bundle, records: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ONNX Runtime keeps one plan for each convolution, and works no shape out that is known before."""
    real = onnxruntime.InferenceSession.__init__

    def opened(session: Any, model: Any, options: Any, **given: Any) -> None:
        options.optimized_model_filepath = str(tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx")
        real(session, model, options, **given)

    monkeypatch.setattr(onnxruntime.InferenceSession, "__init__", opened)
    bound = Opening(bundle, options(), "cpu").open(records=records)
    assert {size: session.get_inputs()[0].shape for size, session in bound.sessions.items()} == {
        size: [size, 3, 64, 64] for size in SIZES
    }
    assert "Shape" in operators(bundle.embedder)
    written = [operators(path) for path in tmp_path.iterdir()]
    assert len(written) == len(SIZES) + 1
    assert not any("Shape" in each for each in written)


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_without_graphs_none_is_recorded_and_it_says_so(bundle: Bundle, sessions: Sessions) -> None:
    loaded = cuda.load(bundle, options(graphs=False), "cpu")
    assert loaded.left_out == {"CUDA graphs": "LKA_REID_CUDA_GRAPHS is false"}
    assert_right(bundle, loaded.forward, 4)
    assert sessions.sizes == []


def test_what_fails_while_a_graph_is_recorded_leaves_graphs_out_and_the_plain_session_serves(
    bundle: Bundle, sessions: Sessions
) -> None:
    def fails(size: int, run: int) -> None:
        if (size, run) == (2, 3):
            raise RuntimeError("CUDA failure 900: operation not permitted\n when stream is capturing")

    sessions.on_run = fails
    loaded = cuda.load(bundle, options(streams=2), "cpu")
    assert loaded.left_out == {
        "CUDA graphs": "CUDA failure 900: operation not permitted when stream is capturing"
    }
    # Neither does the second stream record any.
    assert loaded.streams == 2
    sessions.sizes.clear()
    assert_right(bundle, loaded.forward, 4)
    assert sessions.sizes == []


def test_graphs_that_answer_something_else_are_left_out(bundle: Bundle, sessions: Sessions) -> None:
    sessions.spoils = True
    loaded = cuda.load(bundle, options(), "cpu")
    assert loaded.left_out["CUDA graphs"].startswith("1 images have descriptors with a cosine of ")
    assert_right(bundle, loaded.forward, 4)


@pytest.mark.usefixtures("processes_agree")
def test_a_session_that_takes_no_graphs_says_why_they_are_left_out(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Opening.open

    def opened(opening: Opening, *, records: bool = False) -> Bound:
        if records:
            raise RuntimeError("all compute graph nodes have not been partitioned to the CUDA EP")
        return real(opening)

    monkeypatch.setattr(Opening, "open", opened)
    loaded = cuda.load(bundle, options(), "cpu")
    assert "have not been partitioned" in loaded.left_out["CUDA graphs"]
    assert_right(bundle, loaded.forward, 1)


@pytest.mark.usefixtures("processes_agree")
def test_streams_answer_as_many_threads_at_the_same_time(bundle: Bundle) -> None:
    loaded = cuda.load(bundle, options(streams=2), "cpu")
    assert (loaded.streams, loaded.left_out) == (2, {})
    with ThreadPoolExecutor(4) as clients:
        asked = [
            clients.submit(assert_right, bundle, loaded.forward, 1 + seed % 4, seed) for seed in range(8)
        ]
        for each in asked:
            each.result()


@pytest.mark.usefixtures("processes_agree")
def test_a_stream_that_cannot_be_opened_is_left_out(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Opening.open
    calls: list[bool] = []

    def opened(opening: Opening, *, records: bool = False) -> Bound:
        calls.append(records)
        if len(calls) == 3:
            raise RuntimeError("CUDA failure 2: out of memory")
        return real(opening, records=records)

    monkeypatch.setattr(Opening, "open", opened)
    loaded = cuda.load(bundle, options(streams=3), "cpu")
    # As it is, with graphs, and the second stream.
    assert calls == [False, True, True]
    assert (loaded.streams, loaded.left_out) == (1, {"stream 2": "CUDA failure 2: out of memory"})
    assert_right(bundle, loaded.forward, 2)


@pytest.mark.slow
@pytest.mark.parametrize("records", [False, True])
def test_a_process_of_its_own_tries_first(bundle: Bundle, records: bool) -> None:
    assert cuda.why_no_process_runs(Opening(bundle, options(), "cpu"), records=records) is None


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ((0, b'noise\ntried: "nothing agrees"\n', b""), "nothing agrees"),
        ((0, b"noise\ntried: null\nmore noise", b"warning"), None),
        (
            (-6, b"tried: null\n", b"x\nterminate called\n"),
            "a process that tried it ended by signal 6 (Aborted): terminate called",
        ),
        (
            (1, b"", b"Traceback\nOSError: no space"),
            "a process that tried it ended with 1: OSError: no space",
        ),
        ((0, b"noise", b""), "a process that tried it ended with 0: "),
    ],
)
def test_what_became_of_the_process_decides(
    bundle: Bundle, ends: tuple[int, bytes, bytes], why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[str], **given: Any) -> subprocess.CompletedProcess[bytes]:
        seen.update(given)
        return subprocess.CompletedProcess(command, *ends)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("LKA_REID_API_KEY", "secret")
    assert cuda.why_no_process_runs(Opening(bundle, options(), "cuda")) == why
    assert "LKA_REID_API_KEY" not in seen["env"]
    assert "PATH" in seen["env"]


def test_a_process_that_hangs_is_given_up(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **given: Any) -> None:
        raise subprocess.TimeoutExpired(command, given["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    why = cuda.why_no_process_runs(Opening(bundle, options(), "cuda"))
    assert why == "a process that tried it took more than 300 s"


@pytest.mark.skipif(NO_GPU is not None, reason="ONNX Runtime has no GPU here")
def test_on_a_gpu_graphs_and_streams_give_what_the_cpu_gives(bundle: Bundle) -> None:
    loaded = cuda.load(bundle, options(streams=2, precision="f32"))
    assert (loaded.streams, loaded.left_out) == (2, {})
    for count in (1, 2, 3, 4):
        wanted = Models.load(bundle, "cpu", RuntimeOptions(threads=1)).embedder.embed(images(count))
        descriptors, _ = loaded.forward(images(count))
        assert (descriptors * wanted.descriptors).sum(axis=1).min() > 0.999
