"""The benchmark of the second stage: what it needs, what it compares, what it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from benchmarks import rerank_cuda
from benchmarks.rerank_cpu import CandidateLists, agreement, time_forwards
from benchmarks.rerankers import AS_SERVED, Rerank, open_rerankers, quantised
from benchmarks.timing import Timing
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.reranker import mixing

STRIPS = (16, 256)
ROOT = Path(__file__).parents[2]
ELSEWHERE = ("onnxruntime", "onnx", "openvino", "faiss", "fastapi", "uvicorn", "httpx", "anyio", "structlog")


@pytest.mark.slow
def test_the_gpus_path_needs_torch_and_little_else() -> None:
    """And says plainly where there is no GPU."""
    program = f"""
import sys
for name in {ELSEWHERE!r}:
    sys.modules[name] = None
sys.argv = ["rerank", "--device", "cuda", "--rounds", "1"]
from benchmarks.rerank import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    if not torch.cuda.is_available():
        assert "nothing measured: torch" in done.stdout
        assert "sees no GPU" in done.stdout


def test_each_precision_is_compared_with_fp32() -> None:
    network = rerank_cuda.lively({})
    lists = rerank_cuda.random_lists(6, 10, STRIPS, "cpu")
    itself = rerank_cuda.agreement(network, lists, "fp32")
    assert (itself["same_order"], itself["largest_gap"], itself["lists"]) == (1.0, 0.0, 6)
    for precision in ("fp16", "bf16"):
        found = rerank_cuda.agreement(network, lists, precision)
        assert 0 < found["largest_gap"] < 0.05


@pytest.mark.slow
def test_the_bare_products_are_those_in_the_network() -> None:
    network = rerank_cuda.lively({})
    lists = rerank_cuda.random_lists(2, 3, STRIPS, "cpu")
    projected, output = rerank_cuda.bare_products(network, lists)()
    attention = mixing(network.probe_attention)
    bias = torch.cat([layer.bias for layer in (attention.query, attention.key, attention.value)])
    (q_p, k_p, v_p), (q_c, _, _) = attention.project(lists.probes), attention.project(lists.candidates)
    ours = torch.cat([each.transpose(-3, -2).flatten(-2) for each in (q_p, k_p, v_p)], dim=-1)
    torch.testing.assert_close((projected + bias)[:32].view_as(ours), ours)
    queries = q_c.transpose(-3, -2).flatten(-2)
    torch.testing.assert_close((projected + bias)[32:, :256].view_as(queries), queries)
    assert output.shape == (2 * 3 * 16, 256)


def test_along_the_attention_the_bare_products_are_queries_and_keys() -> None:
    network = rerank_cuda.lively({"distance": "attention", "heads": 1, "sharpness": 20.0})
    lists = rerank_cuda.random_lists(2, 3, STRIPS, "cpu")
    (looking,) = rerank_cuda.bare_products(network, lists)()
    attention = network.probe_attention
    expected = torch.cat([attention.query(lists.probes), attention.key(lists.probes)], dim=-1)
    torch.testing.assert_close(looking[:32].view_as(expected), expected)
    assert looking.shape == ((2 + 2 * 3) * 16, 512)


def test_a_ratio_is_that_of_the_medians() -> None:
    raw = Timing("raw", 1, [2.0, 2.0, 50.0])
    whole = Timing("whole", 4, raw=raw)
    for seconds in (0.012, 0.016, 0.020):
        whole.add(seconds)
    assert whole.milliseconds == [3.0, 4.0, 5.0]
    assert whole.ratio == 2.0
    assert raw.ratio is None


def random_lists(count: int = 40) -> CandidateLists:
    """Lists of the shipped bundle's strips."""
    strips = Bundle.load(DEFAULT_BUNDLE).manifest.strips
    assert strips is not None
    drawn = rerank_cuda.random_lists(count, 10, strips, "cpu")
    probes, candidates, similarities = (each.numpy() for each in drawn)
    return CandidateLists(
        probes.astype(np.float16), candidates.astype(np.float16), similarities, [[]] * count
    )


def test_every_turn_takes_other_probes_and_all_of_them_in_the_end() -> None:
    lists = random_lists()
    turns = [lists.places(1, turn) for turn in range(5)]
    assert {places.shape for places in turns} == {(32, 1)}
    assert {int(place) for places in turns for place in places.flat} == set(range(40))
    assert lists.places(16, 0).shape == (2, 16)


@pytest.fixture(scope="module")
def rerankers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rerank]:
    return open_rerankers(Bundle.load(DEFAULT_BUNDLE), tmp_path_factory.mktemp("rerankers"), 1)[0]


@pytest.mark.slow
def test_what_is_compared_is_one_model_on_several_runtimes(rerankers: dict[str, Rerank]) -> None:
    lists = random_lists()
    found = [agreement(name, rerankers, lists) for name in rerankers]
    assert found[0]["name"] == AS_SERVED
    assert found[0]["largest_gap"] == 0
    assert len(found) > 1
    for each in found[1:]:
        assert each["largest_gap"] < 0.1, each["name"]


def test_the_8_bit_copy_computes_its_products_in_8_bits(tmp_path: Path) -> None:
    bundle = Bundle.load(DEFAULT_BUNDLE)
    assert bundle.reranker is not None
    before = [node.op_type for node in onnx.load(bundle.reranker).graph.node]
    after = [node.op_type for node in onnx.load(quantised(bundle.reranker, tmp_path)).graph.node]
    assert "MatMulInteger" not in before
    assert "MatMulInteger" in after


def test_a_turn_adds_a_time_for_each_repetition(rerankers: dict[str, Rerank]) -> None:
    timing = Timing(AS_SERVED, 16)
    for turn in range(3):
        time_forwards(timing, rerankers[AS_SERVED], random_lists(), turn)
    assert len(timing.milliseconds) == 6
    assert min(timing.milliseconds) > 0


@pytest.mark.slow
def test_a_whole_run_writes_every_figure_beside_what_it_was_measured_on(tmp_path: Path) -> None:
    file = tmp_path / "rerank.json"
    command = [sys.executable, "-m", "benchmarks.rerank", "--rounds", "1", "--images", "100"]
    subprocess.run([*command, "--json", str(file)], cwd=ROOT, check=True, timeout=600)
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert set(figures["provenance"]) == {"commit", "versions", "machine"}
    assert {timing["batch"] for timing in figures["timings"]} == {1, 16}
    for timing in figures["timings"]:
        assert 0 < timing["p50_ms"] <= timing["p95_ms"]
    assert 0 < figures["query"]["share_of_total"] < 1
    assert str(ROOT) not in file.read_text(encoding="utf-8")
