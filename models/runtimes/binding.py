"""ONNX Runtime with its inputs and outputs in memory that is kept: on a GPU images get there as bytes, and a
CUDA graph starts all of the network's kernels at once.

On CUDA this was not run where it was written, for want of a GPU; a test runs it on the CPU.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from models.preprocessing import Pixels, Spec, scale_and_offset
from models.runtimes.forward import Answer, joined

NORMALISATION = base64.b64decode(
    "CAg63AEKHAoGaW1hZ2VzEgFjIgRDYXN0KgkKAnRvGAGgAQIKEgoBYwoFc2NhbGUSAW0iA011bAocCgFtCgZvZmZzZXQSCm5vcm1h"
    "bGlzZWQiA0FkZBIBblojCgZpbWFnZXMSGQoXCAISEwoDEgFiCgIIAwoDEgFoCgMSAXdaGwoFc2NhbGUSEgoQCAESDAoCCAMKAggB"
    "CgIIAVocCgZvZmZzZXQSEgoQCAESDAoCCAMKAggBCgIIAWInCgpub3JtYWxpc2VkEhkKFwgBEhMKAxIBYgoCCAMKAxIBaAoDEgF3"
    "QgQKABAR"
)
"""An ONNX graph: images uint8 [B, 3, H, W], scale and offset float32 [3, 1, 1] -> normalised float32
[B, 3, H, W], as `models.preprocessing.normalise` does. It stands before a bundle's graph, whose file is left
as it is; what is between them stays on the device. A test makes it anew by the onnx package, which serving
does without."""


RUNS_TO_RECORD = 4
"""Runs after which a session's CUDA graph is there and has run: ONNX Runtime allocates in two of its runs and
records in the next, in one call or in three."""


class _Way(NamedTuple):
    """Through both graphs at one batch size: their bindings, where images go and where answers are found."""

    session: onnxruntime.InferenceSession
    normalising: Any
    embedding: Any
    images: Any
    found: list[Any]


class Bound:
    """An embedder's forward pass at a few batch sizes; each has a session and memory on the device.

    A session keeps one plan for each convolution, and has cuDNN make it anew where the batch size changes;
    so each size has one. Other batches are padded to the next size, or cut into parts of the largest.

    One caller at a time. What it answers is the caller's own.

    Args:
        sessions: batch size -> session with the input `images` `[B, 3, H, W]`, float32.
        normalising: a session with the graph `NORMALISATION`, on the same device.
        outputs: name -> shape of one image's, float32.
        spec: of the images.
        device: ONNX Runtime's name of a kind of device, `cuda` or `cpu`, and its number.
        records: run each session until it has its CUDA graph, in the thread that this is made in; it must
            then be the one that calls. The sessions have been opened with `enable_cuda_graph`.
    """

    def __init__(
        self,
        sessions: Mapping[int, onnxruntime.InferenceSession],
        normalising: onnxruntime.InferenceSession,
        outputs: Mapping[str, tuple[int, ...]],
        spec: Spec,
        device: tuple[str, int],
        *,
        records: bool = False,
    ) -> None:
        self.sessions = {size: sessions[size] for size in sorted(sessions)}
        self._normalising = normalising
        scale, offset = (
            onnxruntime.OrtValue.ortvalue_from_numpy(each, *device) for each in scale_and_offset(spec)
        )
        self._ways: dict[int, _Way] = {}
        for size, session in self.sessions.items():
            shape = (size, 3, spec.height, spec.width)
            images, normalised = _memory(shape, np.uint8, device), _memory(shape, np.float32, device)
            found = {name: _memory((size, *rest), np.float32, device) for name, rest in outputs.items()}
            first = _binding(
                normalising, {"images": images, "scale": scale, "offset": offset}, {"normalised": normalised}
            )
            second = _binding(session, {"images": normalised}, found)
            self._ways[size] = _Way(session, first, second, images, list(found.values()))
            for _ in range(RUNS_TO_RECORD if records else 0):
                self(np.zeros(shape, np.uint8))

    def __call__(self, images: Pixels) -> Answer:
        """Descriptors and strips of images."""
        largest = max(self._ways)
        return joined([self._run(images[at : at + largest]) for at in range(0, len(images), largest)])

    def _run(self, images: Pixels) -> Answer:
        count = len(images)
        size = next(size for size in self._ways if size >= count)
        way = self._ways[size]
        if count < size:
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), np.uint8)])
        way.images.update_inplace(np.ascontiguousarray(images))
        # Either run ends when its device is done.
        self._normalising.run_with_iobinding(way.normalising)
        way.session.run_with_iobinding(way.embedding)
        way.embedding.synchronize_outputs()
        # On a CPU `numpy` shows the memory itself, which the next batch writes to.
        results = [memory.numpy()[:count].copy() for memory in way.found]
        return results[0], results[1] if len(results) > 1 else None


def _memory(shape: tuple[int, ...], kind: type[np.generic], device: tuple[str, int]) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, kind, *device)


def _binding(
    session: onnxruntime.InferenceSession, given: Mapping[str, Any], found: Mapping[str, Any]
) -> Any:
    binding = session.io_binding()
    for name, memory in given.items():
        binding.bind_ortvalue_input(name, memory)
    for name, memory in found.items():
        binding.bind_ortvalue_output(name, memory)
    return binding
