"""ONNX Runtime with its inputs and outputs in memory that is kept: on a GPU nothing is allocated for a batch,
images get there as bytes, and a CUDA graph starts all of the network's kernels at once.

On CUDA this was not run where it was written, for want of a GPU; a test runs it on the CPU.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.preprocessing import Pixels, Spec, normalise, scale_and_offset

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
"""Runs of a batch size after which its CUDA graph is there and has run: ONNX Runtime allocates in two of its
runs and records in the next, in one call or in three."""
_GRAPH_ID = "gpu_graph_id"
"""ONNX Runtime's name, among a run's options, of the CUDA graph that the run is or becomes; -1 for none."""


class _Way(NamedTuple):
    """Through both graphs at one batch size: their bindings, where images go, where answers are found, and
    the options of the second run."""

    normalising: Any
    embedding: Any
    images: Any
    found: list[Any]
    options: onnxruntime.RunOptions | None


class Bound:
    """A session's forward pass at a few batch sizes, each with memory of its own on the device.

    One caller at a time. What it answers is the caller's own.

    Args:
        session: with the input `images` `[B, 3, H, W]`, float32.
        normalising: a session with the graph `NORMALISATION`, on the same device.
        outputs: name -> shape of one image's, float32.
        spec: of the images.
        batch_sizes: that are run.
        device: ONNX Runtime's name of a kind of device, `cuda` or `cpu`, and its number.
        records: make a CUDA graph of each batch size, in the thread that this is made in; it must then be
            the one that calls. `session` has been opened with `enable_cuda_graph`.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        normalising: onnxruntime.InferenceSession,
        outputs: Mapping[str, tuple[int, ...]],
        spec: Spec,
        batch_sizes: Sequence[int],
        device: tuple[str, int],
        *,
        records: bool = False,
    ) -> None:
        self.session = session
        self._normalising = normalising
        self._outputs = list(outputs)
        self._spec = spec
        scale, offset = (
            onnxruntime.OrtValue.ortvalue_from_numpy(each, *device) for each in scale_and_offset(spec)
        )
        self._ways: dict[int, _Way] = {}
        self._without_graph = _options(-1) if records else None
        # The largest first, and one after the other: what a run has allocated and given back serves the
        # next, so that all graphs have one memory. They never run at the same time.
        for number, size in enumerate(sorted(batch_sizes, reverse=True), start=1):
            shape = (size, 3, spec.height, spec.width)
            images, normalised = _memory(shape, np.uint8, device), _memory(shape, np.float32, device)
            found = {name: _memory((size, *rest), np.float32, device) for name, rest in outputs.items()}
            first = _binding(
                normalising, {"images": images, "scale": scale, "offset": offset}, {"normalised": normalised}
            )
            second = _binding(session, {"images": normalised}, found)
            options = _options(number) if records else None
            self._ways[size] = _Way(first, second, images, list(found.values()), options)
            for _ in range(RUNS_TO_RECORD if records else 0):
                self(np.zeros(shape, np.uint8))

    def __call__(self, images: Pixels) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Descriptors and strips of images; a batch of another size goes through without kept memory."""
        way = self._ways.get(len(images))
        if way is None:
            given = {"images": normalise(images, self._spec)}
            results = self.session.run(self._outputs, given, self._without_graph)
        else:
            way.images.update_inplace(np.ascontiguousarray(images))
            # Either run ends when its device is done.
            self._normalising.run_with_iobinding(way.normalising)
            self.session.run_with_iobinding(way.embedding, way.options)
            way.embedding.synchronize_outputs()
            # On a CPU `numpy` shows the memory itself, which the next batch writes to.
            results = [memory.numpy().copy() for memory in way.found]
        return results[0], results[1] if len(results) > 1 else None


def _options(graph: int) -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry(_GRAPH_ID, str(graph))
    return options


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
