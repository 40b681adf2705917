"""The benchmark of the data path: its embedder, its rates, and where it says that the time went."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import pipeline
from benchmarks.free import FreeEmbedder
from benchmarks.pipeline import tabled
from benchmarks.stage import Stage, measure
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.machine import processor


@pytest.fixture(scope="module")
def embedder() -> FreeEmbedder:
    return FreeEmbedder(Bundle.load(DEFAULT_BUNDLE))


def test_the_free_embedder_gives_what_the_bundle_s_would(embedder: FreeEmbedder) -> None:
    manifest = Bundle.load(DEFAULT_BUNDLE).manifest
    shape = (3, manifest.input.height, manifest.input.width)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.uint8)
    found = embedder.embed(images)
    assert found.descriptors.shape == (3, manifest.descriptor_dim)
    assert found.descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)
    assert found.strips is not None
    assert found.strips.shape[1:] == manifest.strips
    assert found.strips.dtype == np.float16


def test_images_differ_as_their_descriptors_do(embedder: FreeEmbedder) -> None:
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (8, 3, 64, 64)).astype(np.uint8)
    first, again = embedder.embed(images).descriptors, embedder.embed(images[::-1]).descriptors[::-1]
    np.testing.assert_array_equal(first, again)
    assert (first @ first.T - np.eye(8)).max() < 0.9


def test_a_rate_counts_what_was_done_by_all_and_not_the_first_time() -> None:
    done: list[int] = []

    def work() -> int:
        done.append(3)
        return 3

    clock = iter([{"a": 1.0, "b": 0.0}, {"a": 4.0, "b": 0.0, "late": 1.0}])
    stage = measure("x", 3, work, 0.05, clients=2, cpu_s=lambda: next(clock))
    counted = sum(done[1:])
    assert stage.per_s * 0.05 <= counted
    assert stage.cpu_ms == pytest.approx({"a": 3000 / counted, "b": 0, "late": 1000 / counted})


def test_the_gpu_is_named_where_the_runtime_is_one_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "gpu_names", lambda: ["First GPU", "Second GPU"])
    assert pipeline.device_of("cuda") == f"First GPU and {processor()}"
    assert [pipeline.device_of(runtime) for runtime in ("none", "cpu", "openvino")] == [None] * 3
    monkeypatch.setattr(pipeline, "gpu_names", list)
    assert pipeline.device_of("cuda") is None


def test_the_table_sets_every_rate_beside_the_slowest_part_s() -> None:
    alone = [Stage("fast", 1, 100.0, {"": 1.0}), Stage("slow", 1, 20.0, {"": 2.0})]
    together = [Stage("all", 64, 10.0, {"service": 1.5, "client": 0.25, "redis": 0.0})]
    made = tabled(alone, together)
    cells = [list(column.cells) for column in made.columns]
    assert cells[0] == ["alone: fast", "alone: slow", "together: all"]
    assert cells[3] == ["5.00", "1.00", "0.50"]
    assert cells[4][2] == "1.75"
    assert cells[5][2] == "service 1.50, client 0.25"
