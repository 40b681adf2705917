"""Whether a runtime starts here: a session on a small graph, opened and run."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

import numpy as np

from models.packages import OPENVINO, unusable
from models.runtimes.forward import Precision
from models.runtimes.libraries import (
    DRIVER,
    INSTALL_DRIVER,
    INSTALL_GPU,
    is_loadable,
    missing,
    preload,
    provider_file,
)

CONVOLUTION = base64.b64decode(
    "CAg6awoPCgF4CgF3EgF5IgRDb252EgFwWhsKAXgSFgoUCAESEAoCCAEKAggDCgIICAoCCAhaGwoBdxIWChQIARIQCgIIBAoCCAMKAggD"
    "CgIIA2IbCgF5EhYKFAgBEhAKAggBCgIIBAoCCAYKAggGQgQKABAR"
)
"""An ONNX graph of one convolution, which on CUDA needs cuDNN as the embedder does: x [1, 3, 8, 8] and
w [4, 3, 3, 3] -> y [1, 4, 6, 6]. A test makes it anew by the onnx package, which serving does without."""
EXPECTED = 27.0
"""Every value of y where x and w are all 1."""

INSTALL_CPU = "pip install 'lka-reid[cpu]'"
INSTALL_TORCH = "pip install 'lka-reid[gpu,train]'"
INSTALL = {"cpu": INSTALL_CPU, "cuda": INSTALL_GPU}
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}
"""ONNX Runtime's names of the runtimes that are its own."""
MESSAGE = 300
"""Characters of a library's own words that are repeated at most."""


class Lack(NamedTuple):
    """Why a runtime does not start, and what helps; "" where nobody knows."""

    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


_MISSING = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")


def why_not_onnxruntime(runtime: str, device: int = 0) -> Lack | None:
    """What keeps a runtime of ONNX Runtime from starting, with the remedy; None where it starts.

    Args:
        runtime: one of `PROVIDERS`.
        device: of the GPUs, from 0.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        return _not_imported(error)
    provider, offered = PROVIDERS[runtime], onnxruntime.get_available_providers()
    if provider not in offered:
        return Lack(
            f"this ONNX Runtime offers {', '.join(offered)}",
            f"in a new environment, {INSTALL[runtime]} in place of [cpu]",
        )
    if runtime == "cpu":
        return _run(runtime, {})
    if not is_loadable(DRIVER):
        return Lack(f"there is no NVIDIA driver ({DRIVER} is missing)", INSTALL_DRIVER)
    preload()
    lacking = missing(provider_file())
    if lacking:
        return Lack(f"{', '.join(lacking)} missing", INSTALL[runtime])
    return _run(runtime, cuda_options(device, "auto"))


def cuda_options(device: int, precision: Precision) -> dict[str, int]:
    """Provider options of CUDA, by the names of ONNX Runtime's documentation; a trial runs with the same.

    TF32 keeps 10 bits of a factor's 23. Channels last is how a GPU's tensor cores convolve.
    """
    return {"device_id": device, "use_tf32": int(precision != "f32"), "prefer_nhwc": 1}


def _run(runtime: str, provider_options: dict[str, int]) -> Lack | None:
    """Open a session on the small graph and run it: what went wrong, None where the numbers are right."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = 4  # what it has to say comes back as an error
    options.intra_op_num_threads = 1
    try:
        session = InferenceSession(
            CONVOLUTION, options, providers=[(PROVIDERS[runtime], provider_options)], enable_fallback=0
        )
        if session.get_providers()[0] != PROVIDERS[runtime]:
            return Lack(f"{PROVIDERS[runtime]} does not start", "see `lka-reid doctor`")
        ones = {"x": np.ones((1, 3, 8, 8), np.float32), "w": np.ones((4, 3, 3, 3), np.float32)}
        [found] = session.run(None, ones)
    except Exception as error:  # ONNX Runtime raises a family of its own without a common base
        return _said(error, INSTALL[runtime])
    return _judged(float(np.ravel(found)[0]))


def why_not_openvino() -> Lack | None:
    """What keeps OpenVINO from starting on the CPU, with the remedy; None where it starts."""
    from importlib.util import find_spec

    if find_spec("openvino") is None:
        return Lack("the openvino package is not installed", OPENVINO)
    try:
        from models.runtimes.openvino import DEVICE, core

        model = core().read_model(CONVOLUTION)
        compiled = core().compile_model(model, DEVICE, {"INFERENCE_NUM_THREADS": 1})
        found = compiled([np.ones((1, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)])[0]
    except (ImportError, OSError) as error:
        return _not_imported(error)
    except RuntimeError as error:
        return _said(error, OPENVINO)
    return _judged(float(np.ravel(found)[0]))


def why_not_torch(device: int = 0) -> Lack | None:
    """What keeps torch from computing on the GPU, with the remedy; None where it does. Imports torch."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return Lack("torch is not installed", INSTALL_TORCH)
    try:
        import torch
    except (ImportError, OSError) as error:
        return _not_imported(error)
    if not torch.cuda.is_available():
        if torch.version.cuda is None:
            return Lack(
                f"torch {torch.__version__} sees no GPU: it was built without CUDA",
                f"in a new environment, {INSTALL_TORCH}",
            )
        return Lack(f"torch {torch.__version__} sees no GPU", INSTALL_DRIVER)
    try:
        ones = torch.ones(1, 3, 8, 8, device=f"cuda:{device}")
        found = (
            torch.nn.functional.conv2d(ones, torch.ones(4, 3, 3, 3, device=ones.device)).flatten()[0].item()
        )
    except RuntimeError as error:
        return _said(error, "")
    return _judged(found)


def _judged(found: float) -> Lack | None:
    """What is wrong with the convolution's first value; TF32 and bf16 hold the right one exactly."""
    return None if found == EXPECTED else Lack(f"a convolution gives {found:g} in place of {EXPECTED:g}")


def _not_imported(error: Exception) -> Lack:
    """What a runtime's package lacks, with what brings it."""
    found = unusable(error)
    return Lack(words_of(error)) if found is None else Lack(found.what[:MESSAGE], found.remedy)


def _said(error: Exception, install: str) -> Lack:
    """A library's error in one line; a shared library that it lacks by name, with what brings it."""
    found = _MISSING.search(str(error))
    return Lack(f"{found[1]} is missing", install) if found else Lack(words_of(error))


def words_of(error: BaseException) -> str:
    """What an error says, in one line of `MESSAGE` characters at most."""
    return " ".join(str(error).split())[:MESSAGE] or type(error).__name__
