"""FAISS, loaded as a server needs it; its own type hints know too little of it."""

from __future__ import annotations

import os
from typing import Any, Final

# FAISS's OpenMP threads would spin for milliseconds after each search, on cores that the next embedding
# needs; they read this once, when they are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import faiss as _faiss

faiss: Any = _faiss


def _threads() -> int:
    """What OpenMP was told (OMP_NUM_THREADS), and no more than the cores that this process may use."""
    told = int(faiss.omp_get_max_threads())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(told, cores))


THREADS: Final = _threads()
"""Threads that one search or change may have.

OpenMP keeps so many for each thread that has called it, and ends the process where it cannot make one: the
machine's number of cores may be more than a container's processes.
"""
