"""A process that decodes: takes one image file after the other, and gives back its pixels.

Its parent shares two things with it: a socket, on which a line of JSON goes each way, and memory, in which
the file lies and the pixels are put. JSON, not pickle: whatever a hostile image makes of this process, its
parent reads nothing but numbers and words from it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.decoding.errors import ImageError
from models.decoding.imagefile import decode
from models.decoding.sharedmemory import SharedMemory
from models.preprocessing import prepare

MEMORY_BYTES = 1024**3
"""What a process may take beyond what it has when it is ready: twice what the largest image needs."""
CPU_S = 10
"""s of processor time that one image may take; the largest needs two."""
NICE = 5
"""How much a process yields to its parent, which answers everybody, where processors are scarce."""
LINE_BYTES = 65_536
"""The longest line."""

_PARENT_DIED = 1
"""PR_SET_PDEATHSIG of prctl."""


class _Size(NamedTuple):
    """A `Spec`."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def main(control: int, memory: int, decoder: Callable[[bytes], Image.Image] = decode) -> None:
    """Decode until the parent has gone.

    Args:
        control: descriptor of the socket.
        memory: descriptor of the shared memory.
        decoder: what decodes.
    """
    _follow_the_parent()
    warnings.simplefilter("ignore")
    shared = SharedMemory(memory)
    with socket.socket(fileno=control) as parent, parent.makefile("rb") as lines:
        _limit()
        _send(parent, {"ready": os.getpid()})
        # Whatever C libraries have to say of damaged images is of no use to anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        for line in lines:
            _limit_time()
            _send(parent, _answer(json.loads(line), shared, decoder))


def _answer(
    request: dict[str, Any], shared: SharedMemory, decoder: Callable[[bytes], Image.Image]
) -> dict[str, Any]:
    try:
        image = decoder(shared.read(request["bytes"]))
        if request["spec"] is None:
            pixels: NDArray[Any] = np.asarray(image)
            shared.write(pixels)
        else:
            height, width, mean, std = request["spec"]
            pixels = shared.array((3, height, width))
            prepare(image, _Size(height, width, tuple(mean), tuple(std)), pixels)
    except ImageError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": "decoding the image takes more memory than an image is given"}
    return {"shape": pixels.shape}


def _send(parent: socket.socket, answer: dict[str, Any]) -> None:
    parent.sendall(json.dumps(answer).encode()[: LINE_BYTES - 1] + b"\n")


def _follow_the_parent() -> None:
    """Leave signals to the parent, and end when it does, even in the middle of an image."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICE)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)
        # Where memory runs out, the kernel is to end this process and not its parent.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY_BYTES)


def _limit_time() -> None:
    """Let the kernel end this process where one image takes too long."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + CPU_S)


def _lower(limit: int, value: int) -> None:
    """Set a limit, no higher than whoever started this service lets it be."""
    most = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if most == resource.RLIM_INFINITY else min(value, most), most))
