"""Loading a detector from what `DetectorBundle.described` says, in a process that knows no pydantic."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.detection.vehicle import Detector
from models.detection.yolox import YoloxDetector, YoloxOptions


class DetectorError(Exception):
    """A detector cannot be loaded, or fails on a frame; the message says why."""


def load_detector(described: Mapping[str, Any], threads: int | None = None) -> Detector:
    """The detector that is described.

    Args:
        described: see `DetectorBundle.described`.
        threads: CPU threads of one inference; None for ONNX Runtime's choice.

    Raises:
        DetectorError: the file has changed, or is no model that ONNX Runtime can load.
    """
    return KINDS[described["kind"]](described, threads)


def _yolox(described: Mapping[str, Any], threads: int | None) -> Detector:
    # Here, and not above: it takes a while to import, and most processes detect nothing.
    import onnxruntime

    file = Path(described["file"])
    try:
        model = file.read_bytes()
    except OSError as error:
        raise DetectorError(f"{file}: {error.strerror}") from None
    if hashlib.sha256(model).hexdigest() != described["sha256"]:
        raise DetectorError(f"{file}: the file was changed, restore it")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that wait for each other give their processors to whatever else there is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a family of its own without a common base
        raise DetectorError(f"{file}: ONNX Runtime cannot load it: {error}") from error
    wanted = [1, 3, described["height"], described["width"]]
    found = [(it.name, it.shape) for it in session.get_inputs()]
    if len(found) != 1 or found[0][0] != "images" or len(found[0][1]) != 4:
        raise DetectorError(f"{file}: takes {found}, expected one input images of the shape {wanted}")
    classes = {int(index): kind for index, kind in described["classes"].items()}
    return YoloxDetector(
        session,
        YoloxOptions(
            described["height"],
            described["width"],
            classes,
            described["person"],
            described["score"],
            described["overlap"],
        ),
    )


KINDS: Mapping[str, Callable[[Mapping[str, Any], int | None], Detector]] = {"yolox": _yolox}
"""How each kind of a manifest is loaded; another kind of detector is added here and in `DetectorManifest`."""
