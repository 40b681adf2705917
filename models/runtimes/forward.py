"""What every runtime makes of a bundle's embedder, and its options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.preprocessing import Pixels

Floats = NDArray[np.float32]
Precision = Literal["auto", "f32", "f16", "bf16"]

Answer = tuple[NDArray[Any], NDArray[Any] | None]
"""Descriptors `[B, d]` and strips `[B, s, w]` or None, any float."""
Forward = Callable[[Pixels], Answer]
"""Prepared images uint8 `[B, 3, H, W]` -> what a network answers to them."""


class RuntimeNotAvailableError(Exception):
    """The runtime that was asked for is not there; the message says what to install or choose."""


@dataclass(frozen=True)
class Loaded:
    """A bundle's embedder on a runtime.

    Attributes:
        runtime: its name with what it computes in, such as `openvino-bf16`.
        forward: its forward pass.
        nodes: how many nodes of the graph run where, as the runtime says: by ONNX Runtime's provider, or by
            device and precision.
        streams: batches that `forward` takes at the same time, each from a thread of its own.
        left_out: what the runtime does without on its device, each with the reason.
    """

    runtime: str
    forward: Forward
    nodes: Mapping[str, int]
    streams: int = 1
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RuntimeOptions:
    """How to run.

    Attributes:
        threads: CPU threads of one inference; None for the runtime's choice.
        precision: what is computed in; `auto` is the runtime's choice. See `models.runtimes.precision`.
        device: which GPU, from 0.
        batch_sizes: the batch sizes that will be run, ascending; CUDA graphs are made for them.
        graphs: whether CUDA graphs are made, on a GPU.
        streams: batches that go through a GPU at the same time, at most.
    """

    threads: int | None = None
    precision: Precision = "auto"
    device: int = 0
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)
    graphs: bool = True
    streams: int = 1


def joined(parts: Iterable[Answer]) -> Answer:
    """The answers to the parts of a batch, in their order, as one."""
    descriptors, strips = zip(*parts, strict=True)
    if len(descriptors) == 1:
        return descriptors[0], strips[0]
    return np.concatenate(descriptors), None if strips[0] is None else np.concatenate(strips)
