"""FAISS on a GPU: what it needs there, and whether it works.

FAISS ends its process where CUDA fails, and not by an exception: whether it works is tried in another one.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from index.vectors.faisslib import faiss

DRIVER: Final = "libcuda.so.1"
TRIAL: Final = "from index.vectors.gpu import main; main({number})"
TRIAL_S: Final = 120.0
"""Seconds that a trial may take; loading the libraries and starting CUDA take a few."""
WORKING_MEMORY: Final = 512 * 1024**2
"""Bytes of a GPU's memory that FAISS keeps to work in; 1.5 GiB by itself.

By FAISS's log of allocations, with CUDA's library replaced by one that only allocates, 64 probes of a million
vectors take 257 MiB of it, and 4,096 vectors of 8192 numbers that are added 192 MiB; not run on a GPU.
What does not fit is allocated when it is needed.
"""
CAUSES: Final = {
    100: "there is no GPU",
    802: "GPUs that NVSwitch joins wait for their service: start nvidia-fabricmanager",
    803: "its library and its kernel module are of different versions: restart the machine",
}
"""What some results of cuInit mean, by the documentation of CUDA."""


def opened(number: int) -> Callable[[Any], Any]:
    """What copies an index to a GPU, vectors in float16, after a first search on it.

    Raises RuntimeError where it fails; where CUDA does, FAISS may end the process. See `why_not`.
    """
    count = faiss.get_num_gpus()
    if number >= count:
        raise RuntimeError(f"FAISS finds no GPU {number}, of {count}" if count else "FAISS finds no GPU")
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(WORKING_MEMORY)
    # The host's, for batches of probes that take 256 MiB and more.
    resources.setPinnedMemory(0)
    options = faiss.GpuClonerOptions()
    options.useFloat16 = True

    def copied(index: Any) -> Any:
        return faiss.index_cpu_to_gpu(resources, number, index, options)

    rows = np.eye(8, dtype=np.float32)
    flat = copied(faiss.IndexFlatIP(8))
    flat.add(rows)
    _, found = flat.search(rows[3:4], 1)
    if int(found[0, 0]) != 3:
        raise RuntimeError("a search on it gave a wrong answer")
    return copied


def why_not(number: int) -> str | None:
    """Why FAISS cannot search on a GPU, in a line; None where a process of its own has done it."""
    if not hasattr(faiss, "StandardGpuResources"):
        return "this FAISS has no GPU code (faiss-cpu is installed, not faiss-gpu)"
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return f"there is no NVIDIA driver ({DRIVER} is missing)"
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and code of ours
            [sys.executable, "-P", "-c", TRIAL.format(number=number)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL_S,
            # Passwords are none of its business.
            env={name: value for name, value in os.environ.items() if not name.startswith("LKA_REID_")}
            | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Ctrl-C at a terminal is for the parent alone.
            process_group=0,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a first search took longer than {TRIAL_S:.0f} s"
    except OSError as error:
        return f"no process that tries it can be started: {error.strerror or error}"
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = lines[-1].rpartition("details: ")[2] if lines else f"exit status {done.returncode}"
    return said if done.returncode == 1 else f"FAISS ended the process that tried it: {said}"


def main(number: int) -> None:
    """The trial: ends with 1 and the reason on stderr where FAISS cannot search on the GPU."""
    try:
        lack = _lack_of_driver()
        if lack is None:
            opened(number)
    except Exception as error:  # FAISS raises RuntimeError, SWIG what it likes
        lack = reason(error)
    if lack is not None:
        print(lack, file=sys.stderr)
        sys.exit(1)


def reason(error: Exception) -> str:
    """The first line of what an error says, or its name."""
    return next(iter(f"{error}".strip().splitlines()), type(error).__name__)


def _lack_of_driver() -> str | None:
    """Why CUDA does not start, by the driver itself, which gives results where FAISS ends the process."""
    library, count = ctypes.CDLL(DRIVER), ctypes.c_int(0)
    code = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if code:
        cause = f", {CAUSES[code]}" if code in CAUSES else ""
        return f"NVIDIA's driver does not start (CUDA error {code}{cause})"
    return None if count.value else "NVIDIA's driver shows no GPU"
