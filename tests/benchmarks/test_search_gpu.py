"""The benchmark of searches on a GPU: what it adds, and what it sets its times beside."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from benchmarks import search_gpu
from benchmarks.search import DIM


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> faiss.IndexFlatIP:
    """On the CPU, in the place of a GPU's, with a few descriptors."""
    monkeypatch.setattr(search_gpu, "CHUNK", 8)
    made = faiss.IndexFlatIP(DIM)
    search_gpu.fill(made, 20, np.random.default_rng(0))
    return made


def test_as_many_descriptors_are_added_as_asked_and_all_differ(index: faiss.IndexFlatIP) -> None:
    rows = index.reconstruct_n(0, index.ntotal)
    assert rows.shape == (20, DIM)
    assert (rows @ rows.T - np.eye(20)).max() < 0.9


def test_a_time_stands_beside_one_pass_over_the_memory(
    index: faiss.IndexFlatIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_gpu, "measure", lambda run, _rounds: (run(), 0.5)[1])
    gigabytes = 20 * DIM * 2 / 1e9
    rows = search_gpu.searches(index, 3, bandwidth=1000 * gigabytes)
    assert [row["probes"] for row in rows] == [1, 16, 64]
    for row in rows:
        found = {name: row[name] for name in ("ms", "floor_ms", "ratio")}
        assert found == pytest.approx({"ms": 0.5, "floor_ms": 1.0, "ratio": 0.5})
        assert row["gb_per_s"] == pytest.approx(2000 * gigabytes)
    assert search_gpu.searches(index, 3, bandwidth=None)[0]["ratio"] is None
    assert search_gpu.tabled(rows, 20).row_count == 3


@pytest.mark.skipif(hasattr(faiss, "StandardGpuResources"), reason="FAISS has GPU code here")
def test_without_a_gpu_it_says_what_is_missing() -> None:
    with pytest.raises(SystemExit, match="this FAISS has no GPU code"):
        search_gpu.on_gpu(0)
