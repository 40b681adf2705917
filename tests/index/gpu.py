"""A stand-in for FAISS on a GPU: the same calls, on the processor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from index.vectors import device
from index.vectors.faisslib import faiss


class Resources:
    """A GPU's, which all indexes on it share, and which bear one thread at a time."""

    made: ClassVar[list[Resources]] = []

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.made.append(self)

    def setTempMemory(self, size: int) -> None:  # noqa: N802 - FAISS's name
        assert 0 < size < 1536 * 1024**2

    def setPinnedMemory(self, size: int) -> None:  # noqa: N802 - FAISS's name
        assert size == 0

    @contextmanager
    def used(self) -> Iterator[None]:
        """For a call, which takes a millisecond. Raises RuntimeError during another thread's."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("two threads use the resources of a GPU at the same time")
        try:
            time.sleep(0.001)
            yield
        finally:
            self._lock.release()


class OnGpu:
    """An index as a GPU has it: float16, no selectors, no removal, 2,048 results at most."""

    def __init__(self, resources: Resources, index: Any, calls: list[int]) -> None:
        self._resources = resources
        self._index = faiss.clone_index(index)
        self._calls = calls
        # A filled one would be a second copy of all vectors in the host's memory.
        assert hasattr(index, "nlist") or index.ntotal == 0

    def add(self, rows: Any) -> None:
        with self._resources.used():
            self._index.add(rows if hasattr(self._index, "nlist") else _rounded(rows))

    def search(self, probes: Any, count: int, params: Any = None) -> Any:
        assert count <= 2048
        assert params is None or params.sel is None
        with self._resources.used():
            self._calls.append(count)
            return self._index.search(probes, count, params=params)

    def __del__(self) -> None:
        with self._resources.used():
            pass


def stand_in(monkeypatch: pytest.MonkeyPatch, gpus: int = 1, number: int = 0) -> list[int]:
    """Let FAISS have GPUs, of which one alone is used; what was searched on it is counted in the list."""
    calls: list[int] = []
    monkeypatch.setattr(device, "_found", {})
    # Another process would not see the stand-in.
    monkeypatch.setattr(device, "why_not", lambda _: None)
    monkeypatch.setattr(Resources, "made", [])
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: gpus, raising=False)
    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "GpuClonerOptions", SimpleNamespace, raising=False)

    def copied(resources: Resources, to: int, index: Any, options: Any) -> OnGpu:
        assert options.useFloat16
        assert to == number
        with resources.used():
            return OnGpu(resources, index, calls)

    monkeypatch.setattr(faiss, "index_cpu_to_gpu", copied, raising=False)
    return calls


def _rounded(rows: Any) -> Any:
    return np.asarray(rows, np.float16).astype(np.float32)
