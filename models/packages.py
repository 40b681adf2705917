"""What a package that cannot be imported lacks, and what brings it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from traceback import walk_tb
from typing import NamedTuple

OURS = frozenset({"models", "index", "service", "training", "benchmarks", "lka_reid_client"})
SERVING = "install the service with pip install 'lka-reid[cpu]', or 'lka-reid[gpu]' for CUDA"
TRAINING = "pip install 'lka-reid[train]'"
OPENVINO = "pip install 'lka-reid[cpu,openvino]'"
_MILVUS = "pip install 'lka-reid[milvus]'"
VIDEO = "pip install 'lka-reid[video]'"
INSTALL = {
    **dict.fromkeys(("onnxruntime", "faiss"), SERVING),
    "openvino": OPENVINO,
    **dict.fromkeys(("pymilvus", "fsspec", "s3fs"), _MILVUS),
    **dict.fromkeys(("av", "trackers", "cv2"), VIDEO),
    **dict.fromkeys(("torch", "safetensors", "onnx", "onnxscript"), TRAINING),
    **dict.fromkeys(("matplotlib", "yaml", "tensorboard", "sklearn"), TRAINING),
}
"""Packages of the extras, by the name that is imported, and what brings each."""
MISSING, BROKEN = "package-missing", "package-broken"
"""Kinds for programs: a package is not installed, or is there and cannot be imported."""
ANEW = "install lka-reid in a new environment"
"""What helps where a package is there, is none of an extra's, and cannot be imported."""


class Unusable(NamedTuple):
    """A package that cannot be imported.

    Attributes:
        package: the name that is imported.
        what: is wrong, in words.
        remedy: what to do.
        kind: `MISSING` or `BROKEN`.
    """

    package: str
    what: str
    remedy: str
    kind: str


def unusable(error: BaseException) -> Unusable | None:
    """The package whose import an error ended.

    A package may lack one that it needs itself, or a shared library: ImportError says so, or OSError where it
    opens the library by its own hands.

    Returns:
        None for an error of another origin, an import of our own modules too.
    """
    if isinstance(error, ImportError):
        named = error.name or ""
    elif isinstance(error, OSError) and error.filename is None:
        named = ""
    else:
        return None
    top = named.partition(".")[0]
    if top in OURS:
        return None
    if isinstance(error, ModuleNotFoundError) and top == named != "":
        needing = (package for package in (top, *_imported(error)) if package in INSTALL)
        remedy = INSTALL.get(next(needing, top), TRAINING)
        return Unusable(top, f"{top} is not installed", remedy, MISSING)
    package = top or next(_imported(error), "")
    if not package:
        return None
    remedy = f"in a new environment, {_whole(INSTALL[package])}" if package in INSTALL else ANEW
    said = " ".join(str(error).split()) or type(error).__name__
    return Unusable(package, f"{package} cannot be imported: {said}", remedy, BROKEN)


def _whole(remedy: str) -> str:
    """What brings an extra into an environment that has nothing to serve with yet."""
    return remedy.replace("[", "[cpu,") if remedy in (_MILVUS, VIDEO, TRAINING) else remedy


def _imported(error: BaseException) -> Iterator[str]:
    """The packages that were being imported when an error was raised, the innermost first."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code.co_name == "<module>"]
    for frame in reversed(frames):
        top = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if top not in OURS and top not in sys.stdlib_module_names and top not in ("", "__main__", "tests"):
            yield top
