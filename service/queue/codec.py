"""Answers on their way through Redis: a small header and raw numbers, no JSON and no pickle.

An answer is `kind` (1 byte), the length of the request's id (1 byte), the id, and then

- features: decode, queue and embed seconds (3 doubles), the lengths of the descriptor and of the strips
  (3 unsigned 32-bit numbers: d, s, w; s and w are 0 without strips), the descriptor as float32, the strips
  as float16;
- an error: its detail in UTF-8.

All numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from models.decoding import ImageError
from service.inference.embedder import EmbeddedImage
from service.inference.forward import EmbeddingError, Features
from service.inference.request import Expired
from service.queue.errors import DeadLetterError, ForeignBundleError

FEATURES = 0
ERRORS: dict[int, type[Exception]] = {
    1: ImageError,
    2: Expired,
    3: EmbeddingError,
    4: DeadLetterError,
    5: ForeignBundleError,
}
_KINDS = {error: kind for kind, error in ERRORS.items()}

_HEAD = struct.Struct("<BB")
_BODY = struct.Struct("<dddIII")


class CodecError(ValueError):
    """Bytes that are no answer."""


@dataclass(frozen=True)
class Answer:
    """An answer as it was read.

    Attributes:
        request: the request's id.
        outcome: the features, or the exception to raise in their place.
    """

    request: bytes
    outcome: EmbeddedImage | Exception


def encode_features(request: bytes, image: EmbeddedImage) -> bytes:
    """The answer to a request whose image was embedded."""
    features = image.features
    strips = features.strips
    s, w = (0, 0) if strips is None else strips.shape
    body = _BODY.pack(image.decode_s, image.queue_s, image.embed_s, len(features.descriptor), s, w)
    descriptor = np.ascontiguousarray(features.descriptor, dtype="<f4").tobytes()
    tail = b"" if strips is None else np.ascontiguousarray(strips, dtype="<f2").tobytes()
    return b"".join((_head(FEATURES, request), body, descriptor, tail))


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
        if kind == FEATURES:
            return Answer(request, _features(answer, start))
        return Answer(request, ERRORS[kind](answer[start:].decode()))
    except (struct.error, KeyError, ValueError) as error:
        raise CodecError(f"{len(answer)} bytes are no answer: {error}") from error


def _features(answer: bytes, start: int) -> EmbeddedImage:
    decode_s, queue_s, embed_s, d, s, w = _BODY.unpack_from(answer, start)
    start += _BODY.size
    if len(answer) != start + 4 * d + 2 * s * w:
        raise CodecError(f"{len(answer) - start} bytes of numbers, expected {4 * d + 2 * s * w}")
    # Copies: views would keep the whole answer alive, and are read-only.
    descriptor = np.frombuffer(answer, "<f4", d, start).astype(np.float32)
    strips = np.frombuffer(answer, "<f2", s * w, start + 4 * d).astype(np.float16).reshape(s, w)
    return EmbeddedImage(Features(descriptor, strips if s * w else None), decode_s, queue_s, embed_s)


def _head(kind: int, request: bytes) -> bytes:
    return _HEAD.pack(kind, len(request)) + request
