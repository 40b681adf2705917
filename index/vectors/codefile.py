"""Codes as arrays, to be written while the index grows, and back.

Rows are only added to: what is written is as many as there were at the beginning. A graph's links do change,
so they are copied at once. FAISS's own files are not used: theirs are read and written in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.vectors.engine import Section
from index.vectors.faisslib import faiss

PIECE: Final = 8 << 20
"""Bytes that are copied at a time, for which a change may wait."""


class Arrays:
    """The arrays of a file, by name."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays

    def get(self, name: str, shape: tuple[int | None, ...] | None = None) -> NDArray[Any]:
        """One of them. Raises ValueError where it is not there, or of another shape (None for any length)."""
        if name not in self._arrays:
            raise ValueError(f"it lacks {name}")
        array = self._arrays[name]
        if shape is not None and not (
            array.ndim == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
        ):
            raise ValueError(f"{name} is of shape {list(array.shape)}")
        return array


def sections_of(
    index: Any, arrays: Mapping[str, NDArray[Any]], dead: NDArray[np.bool_]
) -> tuple[dict[str, Any], list[Section]]:
    """An index of codes as it is now, and arrays that belong to it; the codes of `dead` rows become zeros."""
    settings: dict[str, Any] = {"lists": int(getattr(index, "nlist", 0))}
    held = dict(arrays)
    codes: list[Section]
    if settings["lists"]:
        held |= {"centroids": index.quantizer.reconstruct_n(0, index.nlist), "trained": _trained(index.sq)}
        lists = index.invlists
        sizes = np.array([lists.list_size(number) for number in range(index.nlist)], np.int64)
        held["sizes"] = sizes
        shape = (int(sizes.sum()), int(index.code_size))
        codes = [
            Section("rows", "<i8", shape[:1], _of_lists(index, sizes, _list_rows)),
            Section(
                "codes",
                "|u1",
                (int(sizes.sum()), index.code_size),
                _of_lists(index, sizes, partial(_list_codes, dead)),
            ),
        ]
    else:
        storage = index
        if hasattr(index, "hnsw"):
            storage = faiss.downcast_index(index.storage)
            graph = index.hnsw
            settings |= {"entry_point": int(graph.entry_point), "max_level": int(graph.max_level)}
            held |= {name: faiss.vector_to_array(getattr(graph, name)) for name in ("levels", "offsets")}
            held["neighbors"] = _links(graph)
        held["trained"] = _trained(storage.sq)
        shape = (int(storage.ntotal), int(storage.code_size))
        codes = [Section("codes", "|u1", shape, _of_codes(storage, *shape, dead))]
    at_once = [
        Section(name, array.dtype.newbyteorder("<").str, array.shape, iter([partial(np.asarray, array)]))
        for name, array in held.items()
    ]
    return settings, [*at_once, *codes]


def restored(index: Any, settings: Mapping[str, Any], arrays: Arrays) -> None:
    """Fill a new index, of the same kind, with what `sections_of` gave. Raises ValueError, KeyError."""
    trained = arrays.get("trained")
    if settings["lists"]:
        index.quantizer.add(np.ascontiguousarray(arrays.get("centroids", (index.nlist, index.d))))
        _train(index.sq, trained)
        sizes, rows = arrays.get("sizes", (index.nlist,)), arrays.get("rows", (None,))
        codes = arrays.get("codes", (len(rows), index.code_size))
        if sizes.sum() != len(rows) or np.any(sizes < 0):
            raise ValueError("its lists are not as long as it says")
        ends = np.cumsum(sizes)
        for number, (start, end) in enumerate(zip(ends - sizes, ends, strict=True)):
            if end > start:
                index.invlists.add_entries(
                    number,
                    int(end - start),
                    faiss.swig_ptr(np.ascontiguousarray(rows[start:end])),
                    faiss.swig_ptr(np.ascontiguousarray(codes[start:end])),
                )
        index.ntotal = len(rows)
        index.is_trained = True
        return
    storage = faiss.downcast_index(index.storage) if hasattr(index, "hnsw") else index
    _train(storage.sq, trained)
    codes = arrays.get("codes", (None, storage.code_size))
    storage.codes.resize(codes.size)
    if codes.size:
        faiss.rev_swig_ptr(storage.codes.data(), codes.size)[:] = codes.reshape(-1)
    storage.ntotal = index.ntotal = len(codes)
    storage.is_trained = index.is_trained = True
    if hasattr(index, "hnsw"):
        _link(index.hnsw, len(codes), settings, arrays)


def _link(graph: Any, rows: int, settings: Mapping[str, Any], arrays: Arrays) -> None:
    levels, offsets = arrays.get("levels", (rows,)), arrays.get("offsets", (rows + 1,))
    links = arrays.get("neighbors", (None,))
    # What would be read outside of it is refused here, not by the system.
    sound = (
        np.all((levels >= 1) & (levels <= settings["max_level"] + 1))
        and offsets[0] == 0
        and int(offsets[-1]) == len(links)
        and np.all(np.diff(offsets.astype(np.int64)) >= 0)
        and np.all((links >= -1) & (links < rows))
        and -1 <= settings["entry_point"] < rows
    )
    if not sound:
        raise ValueError("its graph does not fit together")
    faiss.copy_array_to_vector(levels, graph.levels)
    faiss.copy_array_to_vector(offsets, graph.offsets)
    graph.neighbors.resize(len(links))
    if len(links):
        faiss.rev_swig_ptr(graph.neighbors.data(), len(links))[:] = links
    graph.entry_point, graph.max_level = settings["entry_point"], settings["max_level"]


def _links(graph: Any) -> NDArray[np.int32]:
    size = graph.neighbors.size()
    return faiss.rev_swig_ptr(graph.neighbors.data(), size).copy() if size else np.empty(0, np.int32)


def _trained(quantizer: Any) -> NDArray[np.float32]:
    return np.asarray(faiss.vector_to_array(quantizer.trained))


def _train(quantizer: Any, trained: NDArray[np.float32]) -> None:
    faiss.copy_array_to_vector(np.ascontiguousarray(trained), quantizer.trained)


def _of_codes(
    storage: Any, rows: int, size: int, dead: NDArray[np.bool_]
) -> Iterator[Callable[[], NDArray[Any]]]:
    step = max(1, PIECE // size)
    for start in range(0, rows, step):
        yield partial(_codes, storage, size, start, dead[start : start + step])


def _codes(storage: Any, size: int, start: int, dead: NDArray[np.bool_]) -> NDArray[np.uint8]:
    # The pointer is taken when the piece is read: adding may have moved it.
    end = start + len(dead)
    codes = np.array(faiss.rev_swig_ptr(storage.codes.data(), end * size)[start * size :])
    codes.reshape(-1, size)[dead] = 0
    return codes


def _of_lists(
    index: Any, sizes: NDArray[np.int64], read: Callable[[Any, int, int], NDArray[Any]]
) -> Iterator[Callable[[], NDArray[Any]]]:
    for number, size in enumerate(sizes.tolist()):
        if size:
            yield partial(read, index, number, size)


def _list_rows(index: Any, number: int, size: int) -> NDArray[np.int64]:
    return np.array(faiss.rev_swig_ptr(index.invlists.get_ids(number), size), "<i8")


def _list_codes(dead: NDArray[np.bool_], index: Any, number: int, size: int) -> NDArray[np.uint8]:
    codes = np.array(faiss.rev_swig_ptr(index.invlists.get_codes(number), size * index.code_size))
    codes.reshape(size, -1)[dead[_list_rows(index, number, size)]] = 0
    return codes
