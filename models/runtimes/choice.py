"""Which runtime is used: the one that is asked for, or for `auto` the best that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

from models.runtimes.forward import RuntimeNotAvailableError

Probe = Callable[[], str | None]
"""None where a runtime is there; else what is missing and what to do about it."""

AUTO = ("cuda", "openvino", "cpu")
"""The order in which `auto` tries. OpenVINO stands before ONNX Runtime because it takes half its time where
the CPU computes in bf16, and its descriptors agree (a test asserts a cosine over 0.999). TensorRT and torch
are never chosen by themselves: the one builds engines for minutes, the other needs another bundle file."""


def onnxruntime_offers(provider: str) -> str | None:
    """Whether the ONNX Runtime installed here was built with a provider."""
    import onnxruntime

    offered = onnxruntime.get_available_providers()
    if provider in offered:
        return None
    return (
        f"this ONNX Runtime offers {', '.join(offered)}; install the [gpu] extra in place of [cpu], "
        "or choose another runtime"
    )


def openvino_is_installed() -> str | None:
    """Whether the `openvino` package is there."""
    if find_spec("openvino") is not None:
        return None
    return "the openvino package is not installed; install the [openvino] extra, or choose another runtime"


def torch_has_cuda() -> str | None:
    """Whether torch is there and sees a GPU; imports it."""
    if find_spec("torch") is None:
        return "torch is not installed; install the [train] extra, or choose another runtime"
    import torch

    if torch.cuda.is_available():
        return None
    return f"torch {torch.__version__} sees no GPU; install its CUDA build and a driver, or choose another"


PROBES: Mapping[str, Probe] = {
    "cuda": lambda: onnxruntime_offers("CUDAExecutionProvider"),
    "tensorrt": lambda: onnxruntime_offers("TensorrtExecutionProvider"),
    "torch-cuda": torch_has_cuda,
    "openvino": openvino_is_installed,
    "cpu": lambda: onnxruntime_offers("CPUExecutionProvider"),
}


def choose_runtime(wanted: str, probes: Mapping[str, Probe] = PROBES) -> str:
    """The runtime to use: `wanted`, or for `auto` the first of `AUTO` that is there.

    Raises:
        RuntimeNotAvailableError: unknown, or not there; nothing else is taken in its place.
    """
    if wanted == "auto":
        return next((name for name in AUTO if probes[name]() is None), "cpu")
    if wanted not in probes:
        raise RuntimeNotAvailableError(f"unknown runtime {wanted!r}; there are auto, {', '.join(probes)}")
    missing = probes[wanted]()
    if missing is not None:
        raise RuntimeNotAvailableError(f"runtime {wanted!r} is not available: {missing}")
    return wanted
