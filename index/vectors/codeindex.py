"""FAISS's index of 8-bit codes: rows, lists of rows, or a graph of them."""

from __future__ import annotations

from typing import Any, Final

from index.vectors.faisslib import faiss
from index.vectors.kind import Kind

LINKS: Final = 32
"""Of a row in the graph, twice as many at its bottom."""
BUILT_BY: Final = 120
"""Rows that are looked at to find a new row's links."""


def lists_of(index: Any) -> int:
    """How many lists it has; 0 where it is not of lists."""
    return int(getattr(index, "nlist", 0))


def new_index(kind: Kind, width: int, lists: int) -> Any:
    """An empty one for rows of `width` numbers: a graph, so many lists if more than 1, or rows alone."""
    code, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    if kind == "hnsw":
        index = faiss.IndexHNSWSQ(width, code, LINKS, metric)
        index.hnsw.efConstruction = BUILT_BY
        return index
    if lists > 1:
        centroids = faiss.IndexFlatIP(width)
        return faiss.IndexIVFScalarQuantizer(centroids, width, lists, code, metric, False)
    return faiss.IndexScalarQuantizer(width, code, metric)
