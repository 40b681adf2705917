"""A bundle's re-ranker on every CPU runtime that is there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.runtime import Reranker
from models.runtimes.forward import Floats
from models.runtimes.ort import open_session

Halves = NDArray[np.float16]
Rerank = Callable[[Halves, Halves, Floats], Floats]
"""Probes `[B, s, w]`, candidates `[B, n, s, w]` and similarities `[B, n]` to distances `[B, n]`."""

AS_SERVED = "as served (ONNX Runtime fp32)"


def open_rerankers(bundle: Bundle, folder: Path, threads: int) -> tuple[dict[str, Rerank], dict[str, str]]:
    """Those that are there, the served one first, and why others are not.

    Args:
        bundle: with a re-ranker.
        folder: where a quantised copy may lie.
        threads: of those that are not as served.
    """
    source = bundle.path / "reranker.onnx" if bundle.reranker is None else bundle.reranker
    found: dict[str, Rerank] = {AS_SERVED: Reranker(bundle, open_session(source, "cpu", 1)).distances}
    left_out: dict[str, str] = {}
    if threads != 1:
        session = open_session(source, "cpu", threads)
        found[f"ONNX Runtime fp32, {threads} threads"] = Reranker(bundle, session).distances
    if find_spec("onnx") is None:
        left_out["ONNX Runtime int8"] = "quantising needs the onnx package ([train] extra)"
    else:
        session = open_session(quantised(source, folder), "cpu", threads)
        found[f"ONNX Runtime int8, {words(threads)}"] = Reranker(bundle, session).distances
    if find_spec("openvino") is None:
        left_out["OpenVINO"] = "the openvino package is not installed ([openvino] extra)"
        return found, left_out
    from models.runtimes.openvino import DEVICE, core

    found[f"OpenVINO fp32, {words(threads)}"] = _on_openvino(source, "f32", threads)
    if "BF16" in core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"):
        found[f"OpenVINO bf16, {words(threads)}"] = _on_openvino(source, "bf16", threads)
    else:
        left_out["OpenVINO bf16"] = "this CPU does not compute in bf16"
    return found, left_out


def quantised(source: Path, folder: Path) -> Path:
    """A copy whose learned products are computed in 8 bits, activations rounded as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from training.export.quantise import widen

    whole = folder / "reranker-fp32.onnx"
    widen(source, whole)
    made = folder / "reranker-int8.onnx"
    # It advises, through the root logger, to simplify the file first; the exporter has done so.
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        quantize_dynamic(whole, made, weight_type=QuantType.QInt8)
    finally:
        logging.root.setLevel(level)
    return made


def words(threads: int) -> str:
    """How many, in words."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def _on_openvino(source: Path, precision: str, threads: int) -> Rerank:
    from models.runtimes.openvino import DEVICE, core

    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }
    request = core().compile_model(str(source), DEVICE, settings).create_infer_request()

    def distances(probes: Halves, candidates: Halves, similarities: Floats) -> Floats:
        given = {
            "probes": probes.astype(np.float32),
            "candidates": candidates.astype(np.float32),
            "similarities": similarities,
        }
        return np.array(request.infer(given)["distances"])

    return distances
