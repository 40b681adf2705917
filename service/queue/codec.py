"""Answers on their way through Redis: a small header and raw numbers, no JSON and no pickle.

An answer is `kind` (1 byte), the length of the request's id (1 byte), the id, and then

- features: decode, queue and embed seconds (3 doubles), the lengths of the descriptor and of the strips
  (3 unsigned 32-bit numbers: d, s, w; s and w are 0 without strips), the descriptor as float32, the strips
  as float16;
- a batch: the answers to its images, in their order, each after its length (an unsigned 32-bit number);
  in them descriptors are float16, which moves a cosine by less than 1e-6, and ids are empty;
- an error: its detail in UTF-8.

A batch of image files is their number, their lengths (unsigned 32-bit numbers) and the files.

All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.decoding import ImageError
from service.inference.embedder import EmbeddedImage
from service.inference.forward import EmbeddingError, Features
from service.inference.request import Expired
from service.queue.errors import DeadLetterError, ForeignBundleError, SplitBatchError

FEATURES = 0
HALVES = 16
"""Features whose descriptor is float16."""
BATCH = 17
ERRORS: dict[int, type[Exception]] = {
    1: ImageError,
    2: Expired,
    3: EmbeddingError,
    4: DeadLetterError,
    5: ForeignBundleError,
    6: SplitBatchError,
}
_KINDS = {error: kind for kind, error in ERRORS.items()}

_HEAD = struct.Struct("<BB")
_BODY = struct.Struct("<dddIII")
_LENGTH = struct.Struct("<I")
_DTYPES: dict[int, np.dtype[Any]] = {FEATURES: np.dtype("<f4"), HALVES: np.dtype("<f2")}


class CodecError(ValueError):
    """Bytes that are no answer."""


@dataclass(frozen=True)
class Answer:
    """An answer as it was read.

    Attributes:
        request: the request's id.
        outcome: the features, or the exception to raise in their place; of a batch, one for each image.
    """

    request: bytes
    outcome: EmbeddedImage | Exception | list[EmbeddedImage | Exception]


def pack(images: Sequence[bytes]) -> bytes:
    """Image files as one value."""
    return struct.pack(f"<I{len(images)}I", len(images), *map(len, images)) + b"".join(images)


def unpack(packed: bytes) -> list[bytes]:
    """The inverse of `pack`.

    Raises:
        CodecError: the bytes are none that it makes.
    """
    try:
        [count] = _LENGTH.unpack_from(packed)
        lengths = struct.unpack_from(f"<{count}I", packed, _LENGTH.size)
    except struct.error as error:
        raise CodecError(f"{len(packed)} bytes are no batch of images: {error}") from error
    start = _LENGTH.size * (1 + count)
    if len(packed) != start + sum(lengths):
        raise CodecError(f"{len(packed) - start} bytes of images, expected {sum(lengths)}")
    images = []
    for length in lengths:
        images.append(packed[start : start + length])
        start += length
    return images


def encode_batch(request: bytes, outcomes: Sequence[EmbeddedImage | Exception]) -> bytes:
    """The answer to a batch, of what became of each image."""
    parts = [_head(BATCH, request)]
    for outcome in outcomes:
        answer = (
            _encode_features(b"", outcome, HALVES)
            if isinstance(outcome, EmbeddedImage)
            else encode_error(b"", outcome)
        )
        parts += [_LENGTH.pack(len(answer)), answer]
    return b"".join(parts)


def encode_features(request: bytes, image: EmbeddedImage) -> bytes:
    """The answer to a request whose image was embedded."""
    return _encode_features(request, image, FEATURES)


def _encode_features(request: bytes, image: EmbeddedImage, kind: int) -> bytes:
    features = image.features
    strips = features.strips
    s, w = (0, 0) if strips is None else strips.shape
    body = _BODY.pack(image.decode_s, image.queue_s, image.embed_s, len(features.descriptor), s, w)
    descriptor = np.ascontiguousarray(features.descriptor, dtype=_DTYPES[kind]).tobytes()
    tail = b"" if strips is None else np.ascontiguousarray(strips, dtype="<f2").tobytes()
    return b"".join((_head(kind, request), body, descriptor, tail))


def encode_error(request: bytes, error: Exception) -> bytes:
    """The answer to a request that failed; an error that is none of `ERRORS` goes as an EmbeddingError."""
    kind = next((_KINDS[cls] for cls in type(error).__mro__ if cls in _KINDS), _KINDS[EmbeddingError])
    return _head(kind, request) + str(error).encode()


def decode(answer: bytes) -> Answer:
    """Read an answer.

    Raises:
        CodecError: the bytes are no answer.
    """
    try:
        kind, length = _HEAD.unpack_from(answer)
        start = _HEAD.size + length
        request = answer[_HEAD.size : start]
        if kind in _DTYPES:
            return Answer(request, _features(answer, start, _DTYPES[kind]))
        if kind == BATCH:
            return Answer(request, [_single(part) for part in _parts(answer, start)])
        return Answer(request, ERRORS[kind](answer[start:].decode()))
    except (struct.error, KeyError, ValueError) as error:
        raise CodecError(f"{len(answer)} bytes are no answer: {error}") from error


def _parts(answer: bytes, start: int) -> Iterator[bytes]:
    while start < len(answer):
        [length] = _LENGTH.unpack_from(answer, start)
        start += _LENGTH.size
        if start + length > len(answer):
            raise CodecError(f"{len(answer) - start} bytes of an answer, expected {length}")
        yield answer[start : start + length]
        start += length


def _single(answer: bytes) -> EmbeddedImage | Exception:
    outcome = decode(answer).outcome
    if isinstance(outcome, list):
        raise CodecError("a batch in a batch")
    return outcome


def _features(answer: bytes, start: int, dtype: np.dtype[Any]) -> EmbeddedImage:
    decode_s, queue_s, embed_s, d, s, w = _BODY.unpack_from(answer, start)
    start += _BODY.size
    size = dtype.itemsize * d
    if len(answer) != start + size + 2 * s * w:
        raise CodecError(f"{len(answer) - start} bytes of numbers, expected {size + 2 * s * w}")
    # Copies: views would keep the whole answer alive, and are read-only.
    descriptor = np.frombuffer(answer, dtype, d, start).astype(np.float32)
    if dtype == _DTYPES[HALVES]:
        descriptor /= np.linalg.norm(descriptor)
    strips = np.frombuffer(answer, "<f2", s * w, start + size).astype(np.float16).reshape(s, w)
    return EmbeddedImage(Features(descriptor, strips if s * w else None), decode_s, queue_s, embed_s)


def _head(kind: int, request: bytes) -> bytes:
    return _HEAD.pack(kind, len(request)) + request
