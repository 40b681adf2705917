"""What each runtime computes in; a precision that it would not honour is refused."""

from __future__ import annotations

from collections.abc import Mapping

from models.runtimes.forward import Precision, RuntimeNotAvailableError

OFFERED: Mapping[str, tuple[Precision, ...]] = {
    "cpu": ("f32",),
    # ONNX Runtime computes what a graph says: a bundle's is in f32, and it may have another one in f16.
    "cuda": ("f32", "f16"),
    "torch-cuda": ("f32", "bf16"),
    "openvino": ("f32", "bf16"),
}
"""Besides `auto`, which is each runtime's own choice."""


def why_not_in(runtime: str, precision: Precision) -> str | None:
    """Why a runtime does not compute in a precision, and what does; None where it does."""
    if precision == "auto" or precision in OFFERED[runtime]:
        return None
    others = [name for name, offered in OFFERED.items() if precision in offered]
    return (
        f"it computes in {' or '.join(OFFERED[runtime])}, not in {precision}; set LKA_REID_PRECISION=auto, "
        f"or choose {' or '.join(others)}"
    )


def check_precision(runtime: str, precision: Precision) -> None:
    """See that a runtime computes in a precision.

    Raises:
        RuntimeNotAvailableError: it does not, and nothing takes its place.
    """
    why = why_not_in(runtime, precision)
    if why is not None:
        raise RuntimeNotAvailableError(f"runtime {runtime!r} does not take precision {precision}: {why}")
