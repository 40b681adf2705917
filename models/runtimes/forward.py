"""What every runtime makes of a bundle's embedder, and its options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Precision = Literal["auto", "f32", "bf16"]

Forward = Callable[[Floats], tuple[NDArray[Any], NDArray[Any] | None]]
"""Images float32 `[B, 3, H, W]` -> descriptors `[B, d]` and strips `[B, s, w]` or None, any float."""


class RuntimeNotAvailableError(Exception):
    """The runtime that was asked for is not there; the message says what to install or choose."""


@dataclass(frozen=True)
class RuntimeOptions:
    """How to run.

    Attributes:
        threads: CPU threads of one inference; None for the runtime's choice.
        precision: what OpenVINO and torch compute in; `auto` is bf16 where the device computes in it.
        engine_cache: folder of TensorRT's engines, which take minutes to build.
        batch_sizes: the batch sizes that will be run, ascending; TensorRT and CUDA graphs are made for them.
    """

    threads: int | None = None
    precision: Precision = "auto"
    engine_cache: Path = field(default=Path("lka-reid-engines"))
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)
