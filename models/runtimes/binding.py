"""ONNX Runtime with its inputs and outputs in memory that is kept: on a GPU nothing is allocated for a batch.

On CUDA this was not run where it was written, for want of a GPU; a test runs it on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.runtimes.forward import Floats


class Bound:
    """A session's forward pass at a few batch sizes, each with memory of its own on the device.

    One caller at a time. What it answers is the caller's own.

    Args:
        session: with the input `images` `[B, 3, H, W]`, float32.
        outputs: name -> shape of one image's, float32.
        image_shape: `(3, H, W)`.
        batch_sizes: that are run.
        device: ONNX Runtime's name of a kind of device, `cuda` or `cpu`, and its number.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        outputs: Mapping[str, tuple[int, ...]],
        image_shape: tuple[int, int, int],
        batch_sizes: Sequence[int],
        device: tuple[str, int],
    ) -> None:
        self._session = session
        self._outputs = list(outputs)
        self._bindings: dict[int, tuple[Any, Any, list[Any]]] = {}
        for size in batch_sizes:
            binding = session.io_binding()
            images = _memory((size, *image_shape), device)
            binding.bind_ortvalue_input("images", images)
            found = [_memory((size, *shape), device) for shape in outputs.values()]
            for name, memory in zip(outputs, found, strict=True):
                binding.bind_ortvalue_output(name, memory)
            self._bindings[size] = (binding, images, found)

    def __call__(self, images: Floats) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Descriptors and strips of images; a batch of another size goes through without kept memory."""
        if len(images) not in self._bindings:
            results = self._session.run(self._outputs, {"images": images})
        else:
            binding, given, found = self._bindings[len(images)]
            given.update_inplace(np.ascontiguousarray(images))
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            # On a CPU `numpy` shows the memory itself, which the next batch writes to.
            results = [memory.numpy().copy() for memory in found]
        return results[0], results[1] if len(results) > 1 else None


def _memory(shape: tuple[int, ...], device: tuple[str, int]) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, *device)
