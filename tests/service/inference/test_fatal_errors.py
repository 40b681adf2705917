"""Which failures of an embedder end its process."""

from __future__ import annotations

import pytest

from service.inference.fatal_errors import is_fatal
from service.inference.forward import EmbeddingError


@pytest.mark.parametrize(
    ("words", "fatal"),
    [
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", True),
        ("CUDA error: device-side assert triggered", True),
        ("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED", True),
        ("CUDNN_STATUS_INTERNAL_ERROR", True),
        ("CUDA out of memory. Tried to allocate 2 GiB", False),
        ("CUDA failure 2: out of memory", False),
        ("the embedder answered descriptors that are not finite", False),
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT", False),
    ],
)
def test_a_lost_device_is_distinguished_from_a_bad_image(words: str, fatal: bool) -> None:
    assert is_fatal(RuntimeError(words)) == fatal
    wrapped = EmbeddingError("the embedder failed")
    wrapped.__cause__ = RuntimeError(words)
    assert is_fatal(wrapped) == fatal
