"""CUDA graphs of a network in torch, for a few batch sizes: recorded once, replayed for each batch.

Graphs for single batch sizes have run on a GPU; their common memory, pinned buffers and streams came later,
and were not run on one where they were written, for want of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.preprocessing import Pixels
from models.runtimes.forward import Answer

Run = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Images uint8 `[B, 3, H, W]` on a device -> descriptors `[B, d]` and strips or None, there too."""
WARM_UP = 3
"""Runs before one is recorded: libraries choose their algorithms on their first ones."""


class Graphs:
    """A forward pass of a few batch sizes on a stream of its own; their graphs have one memory.

    One caller at a time: none of them runs while another does.

    Args:
        run: what is recorded.
        sizes: of the batches.
        height: of an image, in px.
        width: likewise.
        device: the GPU.
    """

    def __init__(self, run: Run, sizes: Sequence[int], height: int, width: int, device: torch.device) -> None:
        self._eager = Eager(run, device)
        self._graphs: dict[int, Graph] = {}
        pool = None
        # The largest first: what it needs is enough for the others.
        for size in sorted(sizes, reverse=True):
            graph = Graph(run, (size, 3, height, width), device, self._eager.stream, pool)
            self._graphs[size], pool = graph, graph.pool

    def __call__(self, images: Pixels) -> Answer:
        """Descriptors and strips of images; a batch of another size goes through without a graph."""
        return self._graphs.get(len(images), self._eager)(images)


class Eager:
    """A forward pass without graphs; on a GPU in a stream of its own."""

    def __init__(self, run: Run, device: torch.device) -> None:
        self._run = run
        self._device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, images: Pixels) -> Answer:
        """Descriptors and strips of images."""
        with torch.inference_mode(), torch.cuda.stream(self.stream):
            descriptors, strips = self._run(torch.from_numpy(images).to(self._device))
            return descriptors.cpu().numpy(), None if strips is None else strips.cpu().numpy()


class Graph:
    """A forward pass of one batch size, recorded once and replayed: no launch costs for its many kernels.

    Images and answers go by memory that the GPU reads and writes itself, so that the processor is free
    meanwhile, and other streams compute.

    Args:
        run: what is recorded.
        shape: of the images.
        device: the GPU.
        stream: of it, to record and to run in; the default stream cannot be recorded.
        pool: the memory of other graphs, to be used again; none of them may run at the same time.
    """

    def __init__(
        self,
        run: Run,
        shape: tuple[int, int, int, int],
        device: torch.device,
        stream: torch.cuda.Stream | None,
        pool: Any = None,
    ) -> None:
        self._stream = stream
        self._images = torch.zeros(shape, dtype=torch.uint8, device=device)
        self._given = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.device(device):
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    run(self._images)
            # What other threads do with the GPU meanwhile is none of this recording's business.
            with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                descriptors, strips = run(self._images)
            self._descriptors, self._found = descriptors, _pinned(descriptors)
            self._strips = None if strips is None else (strips, _pinned(strips))
        self.pool = self._graph.pool()
        # Waits without turning a core.
        self._done = torch.cuda.Event(blocking=True)

    def __call__(self, images: Pixels) -> Answer:
        """Descriptors and strips of images of the graph's shape, the caller's own."""
        np.copyto(self._given.numpy(), images)
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._images.copy_(self._given, non_blocking=True)
            self._graph.replay()
            self._found.copy_(self._descriptors, non_blocking=True)
            if self._strips is not None:
                there, here = self._strips
                here.copy_(there, non_blocking=True)
            self._done.record()
        self._done.synchronize()
        return self._found.numpy().copy(), None if self._strips is None else self._strips[1].numpy().copy()


def _pinned(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)
