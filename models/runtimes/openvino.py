"""OpenVINO on the CPU, from the same ONNX file; weights stored as 8-bit integers included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import openvino

from models.bundle import Bundle, BundleError
from models.preprocessing import Pixels, normalise
from models.runtimes.forward import Loaded, RuntimeNotAvailableError, RuntimeOptions

DEVICE = "CPU"


@cache
def core() -> openvino.Core:
    """What loads models; this process's own, and never freed before it ends.

    The CPU plugin gives the thread that loads it a stack for signal handlers, and unmaps that stack on
    whatever thread the last of it is freed: where that is another one, the next signal, as Ctrl-C, ends the
    process with SIGSEGV.
    """
    return openvino.Core()


def precision_in_use(options: RuntimeOptions) -> str:
    """`bf16` or `f32`: what is asked for, or for `auto` bf16 where the CPU computes in it.

    Raises:
        RuntimeNotAvailableError: bf16 is asked for and the CPU does not compute in it.
    """
    has_bf16 = "BF16" in core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    if options.precision == "bf16" and not has_bf16:
        raise RuntimeNotAvailableError("this CPU does not compute in bf16; set LKA_REID_PRECISION=f32")
    return "f32" if options.precision == "f32" or not has_bf16 else "bf16"


def read_model(path: Path, outputs: set[str]) -> openvino.Model:
    """An ONNX file with these outputs alone: a request computes every one that the model has."""
    model = core().read_model(str(path))
    for output in model.outputs:
        if not output.names & outputs:
            model.remove_result(output.get_node())
    return model


def nodes_of(compiled: openvino.CompiledModel) -> Mapping[str, int]:
    """How many operations of a compiled model compute in which float, as `CPU bf16`."""
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        layer, precision = (str(info[key].value) for key in ("layerType", "runtimePrecision"))
        if layer not in ("Input", "Output", "Const") and precision in ("f32", "bf16", "f16"):
            counts[f"{DEVICE} {precision}"] += 1
    return dict(counts.most_common())


def load(bundle: Bundle, options: RuntimeOptions) -> Loaded:
    """The bundle's embedder on OpenVINO. One caller at a time.

    Raises:
        RuntimeNotAvailableError: see `precision_in_use`.
        BundleError: the file is no model that OpenVINO can load.
    """
    precision = precision_in_use(options)
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
        compiled = core().compile_model(read_model(bundle.embedder, wanted), DEVICE, settings)
    except RuntimeError as error:
        raise BundleError(f"{bundle.embedder}: OpenVINO cannot load it: {error}") from error
    request = compiled.create_infer_request()

    def forward(images: Pixels) -> tuple[Any, Any]:
        results = request.infer({"images": normalise(images, bundle.manifest.input)})
        return results["descriptor"], results["strips"] if has_strips else None

    return Loaded(f"openvino-{precision}", forward, nodes_of(compiled))
