"""FAISS, loaded as a server needs it; its own type hints know too little of it."""

from __future__ import annotations

import os
from typing import Any

# FAISS's OpenMP threads would spin for milliseconds after each search, on cores that the next embedding
# needs; they read this once, when they are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import faiss as _faiss

faiss: Any = _faiss
