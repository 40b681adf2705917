"""The forward pass: batch sizes, and answers that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from models.preprocessing import Pixels
from service.inference.forward import EmbeddingError, ForwardPass, bucket_sizes, is_on_cpu, steps_for
from tests.service.fakes import SHAPE, Embeddings, FakeEmbedder


@pytest.mark.parametrize(
    ("max_batch", "sizes"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12))],
)
def test_bucket_sizes_are_powers_of_two_up_to_the_largest_batch(
    max_batch: int, sizes: tuple[int, ...]
) -> None:
    assert bucket_sizes(max_batch) == sizes


@pytest.mark.parametrize(
    ("max_batch", "sizes"),
    [
        (1, (1,)),
        (8, (1, 2, 3, 4, 5, 6, 7, 8)),
        (13, (*range(1, 9), 10, 12, 13)),
        (20, (*range(1, 9), 10, 12, 14, 16, 20)),
    ],
)
def test_on_a_cpu_sizes_are_stepped_finely(max_batch: int, sizes: tuple[int, ...]) -> None:
    assert bucket_sizes(max_batch, steps_for("openvino-bf16")) == sizes
    assert steps_for("cpu") == 4
    assert steps_for("cuda-tf32") == steps_for("torch-cuda-bf16") == 1


@pytest.mark.parametrize(
    ("max_batch", "warms_all", "sizes"),
    [(8, True, [1, 2, 3, 4, 5, 6, 7, 8]), (8, False, [1, 8]), (1, False, [1])],
)
def test_warming_up_runs_every_size_or_the_smallest_and_the_largest(
    max_batch: int, warms_all: bool, sizes: list[int]
) -> None:
    run: list[int] = []

    def embed(images: Pixels) -> Embeddings:
        run.append(len(images))
        return FakeEmbedder().embed(images)

    ForwardPass(embed, SHAPE, max_batch, 4, warms_all=warms_all).warm_up()
    assert run == sizes


def test_a_gpu_is_warmed_for_every_size_and_a_cpu_is_not() -> None:
    assert [is_on_cpu(name) for name in ("cpu", "openvino-bf16", "cuda", "cuda-tf32", "torch-cuda")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_an_image_has_the_same_features_alone_and_in_company() -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.uint8))
    forward = ForwardPass(FakeEmbedder().embed, SHAPE, 4)
    for image, together in zip(images, forward(images), strict=True):
        alone = forward([image])[0]
        np.testing.assert_array_equal(alone.descriptor, together.descriptor)
        assert alone.strips is not None
        assert together.strips is not None
        np.testing.assert_array_equal(alone.strips, together.strips)


def test_features_do_not_keep_their_batch_alive() -> None:
    features = ForwardPass(FakeEmbedder().embed, SHAPE, 4)([np.ones(SHAPE, np.uint8)] * 3)
    assert features[0].descriptor.base is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Embeddings(np.ones((3, 2), np.float32), None), "3 descriptors for 2 images"),
        (Embeddings(np.ones((2, 2), np.float32), np.ones((1, 1, 1), np.float16)), "1 strips for 2 images"),
        (Embeddings(np.full((2, 2), np.nan, np.float32), None), "descriptors that are not finite"),
        (Embeddings(np.ones((2, 2), np.float32), np.full((2, 1, 1), np.inf, np.float16)), "strips that are"),
    ],
)
def test_an_unusable_answer_is_refused(answer: Embeddings, message: str) -> None:
    def embed(_images: Pixels) -> Embeddings:
        return answer

    forward = ForwardPass(embed, SHAPE, 2)
    with pytest.raises(EmbeddingError, match=message):
        forward([np.ones(SHAPE, np.uint8)] * 2)
    assert forward.last_failed
    assert forward.success_age_s is None
