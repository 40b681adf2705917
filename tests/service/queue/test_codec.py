"""Answers on their way through Redis come out as they went in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decoding import ImageError
from service.inference.embedder import EmbeddedImage
from service.inference.forward import EmbeddingError, Features
from service.inference.request import Expired
from service.queue import codec
from service.queue.errors import DeadLetterError, ForeignBundleError, SplitBatchError


@given(
    request=st.binary(min_size=1, max_size=255),
    dimension=st.integers(1, 40),
    strips=st.none() | st.tuples(st.integers(1, 5), st.integers(1, 7)),
    seconds=st.tuples(*[st.floats(0, 1e6)] * 3),
    seed=st.integers(0, 99),
)
def test_features_come_out_bit_by_bit(
    request: bytes,
    dimension: int,
    strips: tuple[int, int] | None,
    seconds: tuple[float, float, float],
    seed: int,
) -> None:
    source = np.random.default_rng(seed)
    descriptor = source.normal(size=dimension).astype(np.float32)
    halves = None if strips is None else source.normal(size=strips).astype(np.float16)
    answer = codec.decode(
        codec.encode_features(request, EmbeddedImage(Features(descriptor, halves), *seconds))
    )
    assert answer.request == request
    assert isinstance(answer.outcome, EmbeddedImage)
    assert (answer.outcome.decode_s, answer.outcome.queue_s, answer.outcome.embed_s) == seconds
    found = answer.outcome.features
    np.testing.assert_array_equal(found.descriptor, descriptor)
    assert found.descriptor.dtype == np.float32
    assert found.descriptor.flags.writeable
    if halves is None:
        assert found.strips is None
    else:
        assert found.strips is not None
        assert found.strips.dtype == np.float16
        np.testing.assert_array_equal(found.strips, halves)


@pytest.mark.parametrize(
    "error",
    [ImageError, Expired, EmbeddingError, DeadLetterError, ForeignBundleError, SplitBatchError, RuntimeError],
)
def test_errors_come_out_as_what_they_were(error: type[Exception]) -> None:
    answer = codec.decode(codec.encode_error(b"7", error("größer als gedacht")))
    expected = EmbeddingError if error is RuntimeError else error
    assert answer.request == b"7"
    assert type(answer.outcome) is expected
    assert str(answer.outcome) == "größer als gedacht"


def test_an_image_of_8192_numbers_costs_little_more_than_them() -> None:
    features = Features(np.ones(8192, np.float32), np.ones((32, 256), np.float16))
    answer = codec.encode_features(b"abc", EmbeddedImage(features, 0, 0, 0))
    assert len(answer) - 8192 * 4 - 32 * 256 * 2 < 64


@pytest.mark.parametrize("cut", [0, 1, 5, 30, 60])
def test_what_is_no_answer_is_refused(cut: int) -> None:
    whole = codec.encode_features(
        b"abc", EmbeddedImage(Features(np.ones(12, np.float32), None), 0.1, 0.2, 0.3)
    )
    with pytest.raises(codec.CodecError):
        codec.decode(whole[:cut])
    with pytest.raises(codec.CodecError):
        codec.decode(b"\xff" + whole[1:])


@given(st.lists(st.binary(max_size=40), max_size=9))
def test_a_batch_of_files_comes_out_as_it_went_in(files: list[bytes]) -> None:
    assert codec.unpack(codec.pack(files)) == files


@pytest.mark.parametrize("cut", [0, 3, 4, 9, 15])
def test_what_is_no_batch_is_refused(cut: int) -> None:
    packed = codec.pack([b"ab", b"c"])
    with pytest.raises(codec.CodecError):
        codec.unpack(packed[:cut] if cut < 15 else packed + b"x")


def test_the_outcomes_of_a_batch_come_out_in_their_order_with_descriptors_of_16_bits() -> None:
    source = np.random.default_rng(0)
    descriptors = source.normal(size=(2, 8192)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    strips = source.normal(size=(4, 8)).astype(np.float16)
    outcomes: list[EmbeddedImage | Exception] = [
        EmbeddedImage(Features(descriptors[0], strips), 0.1, 0.2, 0.3),
        ImageError("damaged"),
        EmbeddedImage(Features(descriptors[1], None), 0.4, 0.5, 0.6),
    ]
    sent = codec.encode_batch(b"abc", outcomes)
    assert len(sent) < 2 * 8192 * 2 + strips.nbytes + 300
    answer = codec.decode(sent)
    assert answer.request == b"abc"
    assert isinstance(answer.outcome, list)
    first, second, third = answer.outcome
    assert isinstance(second, ImageError)
    assert isinstance(first, EmbeddedImage)
    assert isinstance(third, EmbeddedImage)
    assert (first.decode_s, third.embed_s) == (0.1, 0.6)
    np.testing.assert_array_equal(first.features.strips, strips)
    assert third.features.strips is None
    for found, descriptor in ((first, descriptors[0]), (third, descriptors[1])):
        assert float(found.features.descriptor @ descriptor) > 1 - 1e-6
        assert abs(float(np.linalg.norm(found.features.descriptor)) - 1) < 1e-6


@pytest.mark.parametrize("cut", [5, 8, 40, 100])
def test_a_batch_s_answer_that_is_cut_off_is_refused(cut: int) -> None:
    image = EmbeddedImage(Features(np.ones(12, np.float32), None), 0.1, 0.2, 0.3)
    sent = codec.encode_batch(b"abc", [image, image])
    with pytest.raises(codec.CodecError):
        codec.decode(sent[: len(sent) - cut])
