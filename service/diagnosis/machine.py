"""The machine: Python, NVIDIA's driver and libraries, the disk."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from models.runtimes.libraries import (
    DRIVER,
    INSTALL_DRIVER,
    INSTALL_GPU,
    gpu_names,
    is_loadable,
    missing,
    preload,
    provider_file,
)
from service.diagnosis.finding import Finding, absent, ok, wrong

GPU_RUNTIMES = frozenset({"cuda", "torch-cuda"})
OLDEST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 1024**3
_COULD_NOT = -1


def python() -> Finding:
    """The interpreter and the system."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        return wrong("python", found, "install Python 3.11 or newer")
    return ok("python", found)


def driver(runtime: str) -> Finding:
    """NVIDIA's driver, the newest CUDA that it runs, and its GPUs."""
    needed = runtime in GPU_RUNTIMES
    if not is_loadable(DRIVER):
        return absent("driver", f"no NVIDIA driver ({DRIVER} is missing)", INSTALL_DRIVER, needed=needed)
    library, number = ctypes.CDLL(DRIVER), ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(number))
    cuda = f"CUDA {_cuda(number.value)}"
    code = library.cuInit(0)
    if code:
        return absent("driver", f"for {cuda}, but cuInit fails with {code}", INSTALL_DRIVER, needed=needed)
    names = gpu_names()
    if not names:
        return absent("driver", f"for {cuda}, and it shows no GPU", INSTALL_DRIVER, needed=needed)
    return ok("driver", f"{_driver_version()}for {cuda}, {len(names)} GPU: {', '.join(names)}")


def cuda(runtime: str) -> Finding:
    """The CUDA libraries that ONNX Runtime's provider needs, the driver's own left out."""
    needed = runtime == "cuda"
    provider = provider_file()
    if not provider.is_file():
        return absent("CUDA", "this ONNX Runtime is the one for CPUs", _instead("gpu"), needed=needed)
    preload()
    lacking = [name for name in missing(provider) if name != DRIVER]
    if lacking:
        return absent("CUDA", f"{', '.join(lacking)} missing", INSTALL_GPU, needed=needed)
    number = _ask("libcudart.so.13", "cudaRuntimeGetVersion")
    return ok(
        "CUDA", "all libraries are there" if number is None else f"runtime {_cuda(number)}, all libraries"
    )


def cudnn(runtime: str) -> Finding:
    """cuDNN, which ONNX Runtime loads when it meets the first convolution."""
    needed = runtime == "cuda"
    if not provider_file().is_file():
        return absent("cuDNN", "this ONNX Runtime is the one for CPUs", _instead("gpu"), needed=needed)
    preload()
    if not is_loadable("libcudnn.so.9"):
        return absent("cuDNN", "libcudnn.so.9 is missing", INSTALL_GPU, needed=needed)
    library = ctypes.CDLL("libcudnn.so.9")
    library.cudnnGetVersion.restype = ctypes.c_size_t
    number = int(library.cudnnGetVersion())
    return ok("cuDNN", f"{number // 10_000}.{number % 10_000 // 100}.{number % 100}")


def disk(folder: Path) -> Finding:
    """Room where the data directory lies, or will; whether it can be one."""
    there = nearest(folder)
    if not there.is_dir():
        what = "is a link to nothing" if there.is_symlink() and not there.exists() else "is no folder"
        return wrong("disk", f"{there} {what}", "set another folder with --data-dir, or move it away")
    usage = shutil.disk_usage(there)
    found = f"{_size(usage.free)} of {_size(usage.total)} free where {folder} lies"
    if not os.access(there, os.W_OK | os.X_OK):
        return wrong(
            "disk", f"{there} cannot be written", "set another folder with --data-dir, or its rights"
        )
    if usage.free < LEAST_FREE_BYTES:
        return wrong("disk", found, f"free {_size(LEAST_FREE_BYTES)} or set another folder with --data-dir")
    return ok("disk", found)


def nearest(folder: Path) -> Path:
    """What there is of a path: itself, or the nearest above it. Where it is no folder, none can be made."""
    whole = folder.absolute()
    # A link to nothing is there, too.
    return next(path for path in (whole, *whole.parents) if os.path.lexists(path))


def _instead(extra: str) -> str:
    return f"for a GPU, in a new environment: pip install 'lka-reid[{extra}]' in place of [cpu]"


def _ask(library: str, function: str) -> int | None:
    """What a function of CUDA writes to its one argument; None where it cannot."""
    number = ctypes.c_int(_COULD_NOT)
    with suppress(OSError, AttributeError):
        getattr(ctypes.CDLL(library), function)(ctypes.byref(number))
    return None if number.value == _COULD_NOT else number.value


def _cuda(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver_version() -> str:
    """NVML's word for it, with a comma behind; "" where there is no NVML."""
    with suppress(Exception):  # whatever NVML lacks, the rest of the line is known
        nvml = import_module("pynvml")
        nvml.nvmlInit()
        return f"{nvml.nvmlSystemGetDriverVersion()}, "
    return ""


def _size(count: int) -> str:
    return f"{count / 1024**3:,.1f} GiB"
