"""ONNX Runtime: on the CPU, on CUDA, and through TensorRT.

CUDA and TensorRT follow ONNX Runtime's documented provider options; they were not run where this was written,
for want of a GPU.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models.bundle import Bundle, BundleError
from models.runtimes.forward import Floats, Forward, RuntimeNotAvailableError, RuntimeOptions

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def open_session(
    path: Path, runtime: str, threads: int | None, provider_options: dict[str, Any] | None = None
) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on one runtime, which never falls back to another by itself.

    Operators that a GPU's provider does not have still run on the next one: TensorRT's on CUDA, CUDA's on the
    CPU, as ONNX Runtime always does it.

    Args:
        path: an ONNX file.
        runtime: one of `PROVIDERS`.
        threads: CPU threads of one inference; None for all cores.
        provider_options: for the provider, by the names of ONNX Runtime's documentation.

    Raises:
        BundleError: the file is no model that ONNX Runtime can load.
        RuntimeNotAvailableError: the provider is offered but does not start here.
    """
    options = onnxruntime.SessionOptions()
    # Weights may lie in the file as 8-bit integers; unfold them once, at load time.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if threads:
        options.intra_op_num_threads = threads
    wanted = PROVIDERS[runtime]
    providers: list[Any] = [(wanted, provider_options or {})]
    if runtime == "tensorrt":
        providers.append(PROVIDERS["cuda"])
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises a family of its own without a common base
        raise BundleError(f"{path}: ONNX Runtime cannot load it: {error}") from error
    if session.get_providers()[0] != wanted:
        raise RuntimeNotAvailableError(
            f"{wanted} does not start here; see ONNX Runtime's message above, or choose another runtime"
        )
    return session


def tensorrt_options(bundle: Bundle, options: RuntimeOptions) -> dict[str, Any]:
    """TensorRT's provider options: engines kept in a folder of the bundle's own, one profile for all batches.

    Raises:
        OSError: the cache folder cannot be made.
    """
    cache = options.engine_cache / bundle.fingerprint[:16]
    cache.mkdir(parents=True, exist_ok=True)
    spec = bundle.manifest.input

    def shape(batch: int) -> str:
        return f"images:{batch}x3x{spec.height}x{spec.width}"

    largest = options.batch_sizes[-1]
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": options.precision != "f32",
        "trt_profile_min_shapes": shape(1),
        "trt_profile_opt_shapes": shape(largest),
        "trt_profile_max_shapes": shape(largest),
    }


def load(bundle: Bundle, runtime: str, options: RuntimeOptions) -> Forward:
    """The bundle's embedder on ONNX Runtime.

    On a CPU's several threads there are two ways through it. One image has all threads at work on each
    operator, and they wait for each other after it. A batch that divides evenly among them goes through in
    parts, one a thread, which wait for each other once, at the end: where other work takes a core away for a
    moment, the others go on. The second way has weights of its own, as a session's threads are its own.

    Raises:
        BundleError, RuntimeNotAvailableError: see `open_session`.
        OSError: TensorRT's cache folder cannot be made.
    """
    extra = tensorrt_options(bundle, options) if runtime == "tensorrt" else None
    outputs = ["descriptor"] + (["strips"] if bundle.manifest.strips else [])
    together = _forward(open_session(bundle.embedder, runtime, options.threads, extra), outputs)
    threads = options.threads or os.cpu_count() or 1
    if runtime != "cpu" or threads == 1 or max(options.batch_sizes) < threads:
        return together
    alone = _forward(open_session(bundle.embedder, runtime, 1), outputs)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="embedder-part")

    def forward(images: Floats) -> tuple[Any, Any]:
        if len(images) % threads:
            return together(images)
        descriptors, strips = zip(*pool.map(alone, np.split(images, threads)), strict=True)
        return np.concatenate(descriptors), None if strips[0] is None else np.concatenate(strips)

    return forward


def _forward(session: onnxruntime.InferenceSession, outputs: list[str]) -> Forward:
    def forward(images: Floats) -> tuple[Any, Any]:
        results = session.run(outputs, {"images": images})
        return results[0], results[1] if len(results) > 1 else None

    return forward
