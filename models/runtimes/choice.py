"""Which runtime is used: the one that is asked for, or for `auto` the first that starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from models.runtimes.forward import Precision, RuntimeNotAvailableError
from models.runtimes.precision import check_precision, why_not_in
from models.runtimes.trial import Lack, why_not_onnxruntime, why_not_openvino, why_not_torch

Trial = Callable[[], Lack | None]
"""None where a runtime starts; else what is missing and what to do about it."""

AUTO = ("cuda", "openvino", "cpu")
"""The order in which `auto` tries. OpenVINO stands before ONNX Runtime because it takes half its time where
the CPU computes in bf16, and its descriptors agree (a test asserts a cosine over 0.999). torch-cuda
is never chosen by itself: it needs another bundle file."""


@dataclass(frozen=True)
class Chosen:
    """The runtime to use, and those that `auto` would rather have taken, each with the reason."""

    name: str
    left_out: Mapping[str, str] = field(default_factory=dict)


def trials(device: int = 0) -> Mapping[str, Trial]:
    """What tells of each runtime whether it starts here, on the GPU of this number where it is one's."""
    return {
        "cuda": lambda: why_not_onnxruntime("cuda", device),
        "torch-cuda": lambda: why_not_torch(device),
        "openvino": why_not_openvino,
        "cpu": lambda: why_not_onnxruntime("cpu"),
    }


def choose_runtime(
    wanted: str, precision: Precision = "auto", among: Mapping[str, Trial] | None = None
) -> Chosen:
    """The runtime to use: `wanted`, or for `auto` the first of `AUTO` that starts and computes as is asked.

    Args:
        wanted: a runtime, or `auto`.
        precision: what it is to compute in.
        among: the runtimes and their trials; `trials()` where not given.

    Raises:
        RuntimeNotAvailableError: unknown, or it does not start or not honour the precision; nothing else is
            taken in its place. For `auto`: none of them starts.
    """
    among = trials() if among is None else among
    if wanted == "auto":
        left_out: dict[str, str] = {}
        for name in AUTO:
            why = why_not_in(name, precision) or among[name]()
            if why is None:
                return Chosen(name, left_out)
            left_out[name] = str(why)
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise RuntimeNotAvailableError(f"no runtime starts here. {reasons}")
    if wanted not in among:
        raise RuntimeNotAvailableError(f"unknown runtime {wanted!r}; there are auto, {', '.join(among)}")
    check_precision(wanted, precision)
    why = among[wanted]()
    if why is not None:
        raise RuntimeNotAvailableError(f"runtime {wanted!r} is not available: {why}")
    return Chosen(wanted)
