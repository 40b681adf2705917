"""NVIDIA's shared libraries: loaded from their packages before a runtime needs them; named where missing."""

from __future__ import annotations

import contextlib
import ctypes
import io
import struct
from pathlib import Path

DRIVER = "libcuda.so.1"
"""Comes with the driver, and with no package."""
INSTALL_DRIVER = (
    "install NVIDIA's driver 580 or newer (on Ubuntu: `sudo ubuntu-drivers install --gpgpu`, then restart), "
    "or give the container the GPU (`docker run --gpus all`)"
)
INSTALL_GPU = "pip install 'lka-reid[gpu]'"

_DYNAMIC, _LOAD = 2, 1  # segments of an ELF file
_NEEDED, _STRINGS = 1, 5  # entries of its dynamic section


def is_loadable(name: str) -> bool:
    """Whether a shared library is there: loaded already, or found by the system's loader."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def gpu_names() -> list[str]:
    """The names of the GPUs that NVIDIA's driver shows this process, by number; [] where there is none."""
    if not is_loadable(DRIVER):
        return []
    library, count = ctypes.CDLL(DRIVER), ctypes.c_int(0)
    if library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count)):
        return []
    names = []
    for number in range(count.value):
        device, name = ctypes.c_int(0), ctypes.create_string_buffer(100)
        library.cuDeviceGet(ctypes.byref(device), number)
        library.cuDeviceGetName(name, len(name), device)
        names.append(name.value.decode(errors="replace"))
    return names


def preload() -> None:
    """Load the libraries that the packages of the extra [gpu] bring, where no loader looks by itself.

    What cannot be loaded is left to `missing`, which names it.
    """
    import onnxruntime

    # It prints what it does not find.
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()


def provider_file() -> Path:
    """ONNX Runtime's shared library for CUDA; only onnxruntime-gpu has it."""
    import onnxruntime

    return Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"


def missing(library: Path) -> list[str]:
    """What a shared library needs and is not there, by name; `preload` comes first.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no 64-bit ELF file.
    """
    return [name for name in needed(library) if not is_loadable(name)]


def needed(library: Path) -> list[str]:
    """The names of the shared libraries that one needs (DT_NEEDED of the ELF specification).

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no 64-bit little-endian ELF file.
    """
    with library.open("rb") as file:
        head = file.read(64)
        if head[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{library} is no 64-bit shared library")
        start, size, count = (
            *struct.unpack_from("<Q", head, 32),
            *struct.unpack_from("<HH", head, 54),
        )
        file.seek(start)
        table = file.read(size * count)
        segments = [struct.unpack_from("<IIQQQQ", table, place * size) for place in range(count)]
        loads: list[tuple[int, int, int]] = [
            (address, offset, length) for kind, _, offset, address, _, length in segments if kind == _LOAD
        ]

        def offset_of(address: int) -> int:
            offsets = (offset + address - at for at, offset, length in loads if at <= address < at + length)
            return next(offsets)

        entries: list[tuple[int, int]] = []
        for kind, _, offset, _, _, length in segments:
            if kind == _DYNAMIC:
                file.seek(offset)
                entries += struct.iter_unpack("<qQ", file.read(length - length % 16))
        strings = [value for tag, value in entries if tag == _STRINGS]
        names = [value for tag, value in entries if tag == _NEEDED]
        found = []
        for name in names:
            file.seek(offset_of(strings[0]) + name)
            found.append(file.read(256).partition(b"\0")[0].decode())
        return found
