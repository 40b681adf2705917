"""Where an index is searched: on the processor, or in a copy on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.errors import IndexDeviceError
from index.vectors.faisslib import faiss
from index.vectors.gpu import opened, reason, why_not
from index.vectors.kind import DeviceSetting
from index.vectors.rowmap import Growing

MOST: Final = 2048
"""Rows that FAISS finds for a probe on a GPU at most."""
GONE: Final = 512
"""Rows that are gone from which on a copy is made anew."""
REMEDY: Final = (
    "install the service with pip install 'lka-reid[gpu]' on a machine with an NVIDIA GPU, or set "
    "LKA_REID_INDEX_DEVICE=auto or cpu"
)


@dataclass(frozen=True, slots=True)
class Device:
    """What searches.

    Attributes:
        name: `gpu` or `cpu`.
        left_out: why the GPU is not used, where it was looked for; None where it is used, or was not wanted.
        copied: gives a copy of an index on the GPU, vectors in float16; None without one.
        lock: held while a copy is made, changed, searched or let go. FAISS's resources of a GPU, which all
            copies share, bear one thread at a time. Reentrant: a collection of garbage may let a copy go in
            the thread that holds it.
    """

    name: Literal["gpu", "cpu"] = "cpu"
    left_out: str | None = None
    copied: Callable[[Any], Any] | None = None
    lock: AbstractContextManager[Any] = field(default_factory=threading.RLock, repr=False, compare=False)


CPU: Final = Device()
_found: dict[int, Device] = {}
_finding = threading.Lock()


def start(setting: DeviceSetting, number: int = 0) -> Device:
    """The device of a setting; `auto` is the GPU where a search on it succeeds, or says why it does not.

    A process looks for each GPU once: its galleries share what FAISS needs there.

    Args:
        setting: which device.
        number: of the GPU, of those that the process sees.

    Raises IndexDeviceError where `gpu` is set and cannot be used.
    """
    if setting == "cpu":
        return CPU
    with _finding:
        if number not in _found:
            _found[number] = _looked_for(number)
    device = _found[number]
    if device.left_out is not None and setting == "gpu":
        raise IndexDeviceError(device.left_out, REMEDY)
    return device


def _looked_for(number: int) -> Device:
    """The GPU, or the processor and why."""
    lack = why_not(number)
    if lack is None:
        try:
            return Device("gpu", copied=opened(number))
        except Exception as error:  # what another process could do a moment ago
            lack = reason(error)
    return Device(left_out=lack)


class GpuCopy:
    """A copy of an index's rows on a GPU, which follows what is added and passes over what is gone.

    Any thread may search; changes must come from one thread at a time, and not during a search.

    Args:
        device: with a GPU.
        index: bare, of rows.
        ids: [rows], what each row is known by.
    """

    def __init__(self, device: Device, index: Any, ids: NDArray[np.int64]) -> None:
        if device.copied is None:
            raise ValueError("the device has no GPU")
        self._device = device
        with device.lock:
            self._index = device.copied(index)
        self._ids = Growing("<i8", ids.copy())
        self._gone = np.empty(0, np.int64)

    @property
    def is_outdated(self) -> bool:
        """Whether so many rows are gone that it should be made anew."""
        return len(self._gone) > GONE

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add rows [n, d]."""
        with self._device.lock:
            self._index.add(np.ascontiguousarray(vectors))
        self._ids.extend(ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Pass over rows from now on."""
        self._gone = np.concatenate([self._gone, ids])

    def search(
        self, probes: NDArray[np.float32], count: int, lists: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Scores and ids [B, count], best first, -1 where there are no more; None where it cannot tell.

        `lists` are read, of an index that has some.
        """
        wanted = min(count + len(self._gone), len(self._ids.array))
        if wanted > MOST or not wanted:
            return None
        parameters = faiss.SearchParametersIVF(nprobe=min(lists, MOST)) if lists else None
        with self._device.lock:
            scores, rows = self._index.search(np.ascontiguousarray(probes), wanted, params=parameters)
        ids = np.where(rows >= 0, self._ids.array[rows], -1)
        kept = (ids >= 0) & ~np.isin(ids, self._gone)
        # Stable: what is kept comes first, in its order.
        order = np.argsort(~kept, axis=1, kind="stable")[:, :count]
        places = np.take_along_axis(kept, order, 1)
        found = np.where(places, np.take_along_axis(ids, order, 1), -1)
        return np.take_along_axis(scores, order, 1), found

    def __del__(self) -> None:
        if hasattr(self, "_index"):
            with self._device.lock:
                del self._index
