"""OpenVINO on the CPU, from the same ONNX file; weights stored as 8-bit integers included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from models.bundle import Bundle, BundleError
from models.runtimes.forward import Floats, Forward, RuntimeNotAvailableError, RuntimeOptions

DEVICE = "CPU"


def precision_in_use(options: RuntimeOptions) -> str:
    """`bf16` or `f32`: what is asked for, or for `auto` bf16 where the CPU computes in it.

    Raises:
        RuntimeNotAvailableError: bf16 is asked for and the CPU does not compute in it.
    """
    has_bf16 = "BF16" in openvino.Core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    if options.precision == "bf16" and not has_bf16:
        raise RuntimeNotAvailableError("this CPU does not compute in bf16; set LKA_REID_PRECISION=f32")
    return "f32" if options.precision == "f32" or not has_bf16 else "bf16"


def read_model(path: Path, outputs: set[str]) -> openvino.Model:
    """An ONNX file with these outputs alone: a request computes every one that the model has."""
    model = openvino.Core().read_model(str(path))
    for output in model.outputs:
        if not output.names & outputs:
            model.remove_result(output.get_node())
    return model


def load(bundle: Bundle, precision: str, options: RuntimeOptions) -> Forward:
    """The bundle's embedder on OpenVINO, computing in `precision` (`f32` or `bf16`). One caller at a time.

    Raises:
        BundleError: the file is no model that OpenVINO can load.
    """
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        # Else it rounds activations to 8 bits wherever weights are stored so; strips show it.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }
    has_strips = bundle.manifest.strips is not None
    wanted = {"descriptor", "strips"} if has_strips else {"descriptor"}
    if options.threads:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    try:
        compiled = openvino.Core().compile_model(read_model(bundle.embedder, wanted), DEVICE, settings)
    except RuntimeError as error:
        raise BundleError(f"{bundle.embedder}: OpenVINO cannot load it: {error}") from error
    request = compiled.create_infer_request()

    def forward(images: Floats) -> tuple[Any, Any]:
        results = request.infer({"images": images})
        return results["descriptor"], results["strips"] if has_strips else None

    return forward
