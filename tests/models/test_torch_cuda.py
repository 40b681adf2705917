"""torch on a GPU, with the CPU in its place: weights in bf16, and graphs and streams that fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch

from models.bundle import Bundle
from models.preprocessing import Pixels
from models.runtime import Models
from models.runtimes import torch_cuda
from models.runtimes.forward import Answer, RuntimeOptions
from models.runtimes.torch_graphs import Eager, Run
from tests.models.explainable import SmallBundle, lively
from tests.models.torch_weights import with_torch_weights
from tests.training.conftest import SMALL


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, small_bundle: SmallBundle) -> Bundle:
    folder = tmp_path_factory.mktemp("torch")
    bundle = small_bundle(folder / "bundle", "fp32", rerank=False)
    return with_torch_weights(bundle, folder / "whole", lively(SMALL))


def images(count: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), np.uint8)


def test_torch_stores_in_bf16_what_it_would_round_for_every_batch(
    whole: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu = torch.device("cpu")
    stored = torch_cuda.prepared(whole, RuntimeOptions(), on_cpu)
    dtypes = {
        (isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Linear), each.dtype)
        for module in stored.modules()
        for each in module.parameters(recurse=False)
    }
    assert dtypes == {(True, torch.bfloat16), (False, torch.float32)}
    exact = torch_cuda.prepared(whole, RuntimeOptions(precision="f32"), on_cpu)
    assert {each.dtype for each in exact.parameters()} == {torch.float32}

    forward = torch_cuda.load(whole, RuntimeOptions(), device="cpu").forward
    monkeypatch.setattr(torch_cuda, "prepared", lambda *_: exact)
    rounding = torch_cuda.load(whole, RuntimeOptions(), device="cpu").forward
    for found, wanted in zip(forward(images(2)), rounding(images(2)), strict=True):
        assert found is not None
        assert wanted is not None
        np.testing.assert_array_equal(found, wanted)


@pytest.fixture
def tf32() -> Iterator[Callable[[], list[bool]]]:
    """TF32 is allowed, for convolutions and for products; whether it still is."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (convolutions.allow_tf32, products.allow_tf32)
    convolutions.allow_tf32 = products.allow_tf32 = True
    yield lambda: [convolutions.allow_tf32, products.allow_tf32]
    convolutions.allow_tf32, products.allow_tf32 = before


def test_float32_is_no_tf32(whole: Bundle, tf32: Callable[[], list[bool]]) -> None:
    torch_cuda.load(whole, RuntimeOptions(precision="bf16"), "cpu")
    assert tf32() == [True, True]
    torch_cuda.load(whole, RuntimeOptions(precision="f32"), "cpu")
    assert tf32() == [False, False]


class Recorded:
    """Stands in for CUDA graphs, and for a GPU: it has a stream of its own, and can go wrong."""

    made: ClassVar[list[Recorded]] = []
    goes_wrong: ClassVar[dict[int, Exception | float]] = {}

    def __init__(self, run: Run, sizes: Sequence[int], height: int, width: int, device: torch.device) -> None:
        assert (tuple(sizes), height, width, device.type) == ((1, 2), 64, 64, "cpu")
        self.made.append(self)
        wrong = self.goes_wrong.get(len(self.made), 0.0)
        if isinstance(wrong, Exception):
            raise wrong
        self._turned = wrong
        self._thread = threading.get_ident()
        self._run = Eager(run, device)

    def __call__(self, images: Pixels) -> Answer:
        assert threading.get_ident() == self._thread
        descriptors, strips = self._run(images)
        return descriptors + self._turned, strips


@pytest.mark.parametrize(
    ("goes_wrong", "graphs", "streams", "left_out"),
    [
        ({}, True, 2, {}),
        ({}, False, 2, {"CUDA graphs": "LKA_REID_CUDA_GRAPHS is false"}),
        ({1: RuntimeError("CUDA error:\n capture")}, True, 2, {"CUDA graphs": "CUDA error: capture"}),
        ({1: 5.0}, True, 2, {"CUDA graphs": "1 images have descriptors"}),
        ({2: RuntimeError("out of memory")}, True, 1, {"stream 2": "out of memory"}),
        ({2: 5.0}, True, 1, {"stream 2": "1 images have descriptors"}),
    ],
)
def test_torch_does_without_the_graphs_and_streams_that_fail(
    whole: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    goes_wrong: dict[int, Exception | float],
    graphs: bool,
    streams: int,
    left_out: dict[str, str],
) -> None:
    monkeypatch.setattr(Recorded, "made", [])
    monkeypatch.setattr(Recorded, "goes_wrong", goes_wrong)
    options = RuntimeOptions(precision="f32", batch_sizes=(1, 2), graphs=graphs, streams=2)
    loaded = torch_cuda.load(whole, options, "cpu", Recorded)
    assert loaded.streams == streams
    assert list(loaded.left_out) == list(left_out)
    assert all(loaded.left_out[what].startswith(why) for what, why in left_out.items())
    wanted = Models.load(whole, "cpu").embedder.embed(images(2))
    descriptors, _ = loaded.forward(images(2))
    assert (descriptors * wanted.descriptors).sum(axis=1).min() > 0.9999
