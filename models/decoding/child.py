"""A process that decodes: takes one image file after the other, or some together, and gives back their
pixels, the vehicles that they show, or crops of them.

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
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from models.decoding.bounds import MIN_SIDE
from models.decoding.errors import DetectorError, ImageError
from models.decoding.imagefile import Frame, decode_frame
from models.decoding.sharedmemory import SharedMemory
from models.detection.crop import cut, with_margin, within
from models.detection.loading import load_detector
from models.detection.vehicle import Detector
from models.preprocessing import prepare

MEMORY_BYTES = 1024**3
"""What a process may take beyond what it has when it is ready: the largest images need 0.75 GiB."""
CPU_S = 3
"""s of processor time that decoding one image may take, or one more, for the kernel counts whole ones; the
largest need one or two."""
CPU_AFTER_S = 10
"""s of processor time that may go into finding vehicles in an image, or cutting it up."""
NICE = 5
"""How much a process yields to its parent, which answers everybody, where processors are scarce."""
NO_MEMORY = "decoding the image takes more memory than an image is given"
LINE_BYTES = 65_536
"""The longest line."""

_PARENT_DIED = 1
"""PR_SET_PDEATHSIG of prctl."""
_DETECTORS: dict[str, Detector] = {}
"""By the hashes of their files; loaded by the first frame of a process."""


class _Size(NamedTuple):
    """See `models.preprocessing.Size`."""

    height: int
    width: int


class FrameDecoder(Protocol):
    """What decodes; see `models.decoding.imagefile.decode_frame`."""

    def __call__(self, data: bytes, *, whole: bool, side: int | None = None) -> Frame:
        """Decode an image file."""


def main(control: int, memory: int, decoder: FrameDecoder = decode_frame) -> None:
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
            _send(parent, _answer(json.loads(line), shared, decoder))


def _answer(request: dict[str, Any], shared: SharedMemory, decoder: FrameDecoder) -> dict[str, Any]:
    lengths = request["bytes"]
    data = shared.read(sum(lengths))
    try:
        if request["task"] == "prepare":
            return _prepare(_parts(data, lengths), _Size(*request["size"]), shared, decoder)
        _limit_time(CPU_S)
        frame = decoder(data, whole=request["task"] == "cut")
        _limit_time(CPU_AFTER_S)
        match request["task"]:
            case "detect":
                return _detect(frame, request["detector"])
            case "cut":
                return _cut(frame, request["boxes"], request["margin"], shared)
            case _:
                pixels = np.asarray(frame.image)
                shared.write(pixels)
                return {"shape": pixels.shape}
    except ImageError as error:
        return {"refused": str(error)}
    except DetectorError as error:
        return {"unable": str(error)}
    except MemoryError:
        return {"refused": NO_MEMORY}


def _prepare(
    files: Sequence[bytes], size: _Size, shared: SharedMemory, decoder: FrameDecoder
) -> dict[str, Any]:
    prepared = shared.array((len(files), 3, size.height, size.width))
    refusals = {}
    for row, file in enumerate(files):
        _limit_time(CPU_S)
        try:
            prepare(decoder(file, whole=False, side=max(size)).image, size, prepared[row])
        except ImageError as error:
            refusals[row] = str(error)
        except MemoryError:
            refusals[row] = NO_MEMORY
    return {"shape": prepared.shape, "refusals": refusals}


def _parts(data: bytes, lengths: Sequence[int]) -> list[bytes]:
    ends = list(accumulate(lengths))
    return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _detect(frame: Frame, described: dict[str, Any]) -> dict[str, Any]:
    detector = _DETECTORS.get(described["sha256"])
    if detector is None:
        # One thread: as many images as there are processes are looked at side by side.
        detector = _DETECTORS[described["sha256"]] = load_detector(described, threads=1)
    across, down = frame.width / frame.image.width, frame.height / frame.image.height
    vehicles = []
    try:
        found = detector.detect(frame.image)
    except Exception as error:  # ONNX Runtime raises a family of its own without a common base
        raise DetectorError(f"the detector failed: {error}") from error
    for vehicle in found:
        left, top, width, height = vehicle.box
        edges = [round(left * across), round(top * down)]
        edges += [round((left + width) * across), round((top + height) * down)]
        box = [*edges[:2], edges[2] - edges[0], edges[3] - edges[1]]
        vehicles.append([box, vehicle.type, vehicle.score])
    return {"size": [frame.width, frame.height], "vehicles": vehicles}


def _cut(frame: Frame, boxes: list[list[float]], margin: float, shared: SharedMemory) -> dict[str, Any]:
    size = [frame.width, frame.height]
    regions = []
    for number, box in enumerate(boxes):
        inside = within(box, *size)
        if min(inside.width, inside.height) < MIN_SIDE:
            return {"size": size, "outside": number}
        regions.append(with_margin(inside, margin, *size))
    files = [cut(frame.image, region) for region in regions]
    shared.write(b"".join(files))
    return {"size": size, "lengths": [len(file) for file in files], "regions": regions}


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


def _limit_time(most_s: int) -> None:
    """Let the kernel end this process where one image takes longer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + most_s)


def _lower(limit: int, value: int) -> None:
    """Set a limit, no higher than whoever started this service lets it be."""
    most = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if most == resource.RLIM_INFINITY else min(value, most), most))
