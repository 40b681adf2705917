"""The coded kinds: 8-bit codes of vectors find candidates, which are compared by stored descriptors.

A vector is taken to its first directions (`index.vectors.projection`), and each of those numbers to a byte.
`compressed` scans the signs of all (`index.vectors.signs`) and the codes that these leave, or, of very many,
the codes in the lists nearest to the probe; `hnsw` walks a graph.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.vectors import projection
from index.vectors.codefile import Arrays, restored, sections_of
from index.vectors.codeindex import LINKS, lists_of, new_index
from index.vectors.device import CPU, Device, GpuCopy
from index.vectors.engine import Candidates, Section
from index.vectors.faisslib import THREADS, faiss
from index.vectors.kind import IndexSetup, Kind
from index.vectors.rowmap import NONE, RowMap
from index.vectors.signs import Signs
from index.vectors.vectorfile import Content

WALKED: Final = 400
"""Rows that a search of the graph keeps in view, the candidates among them."""
SCANNED_FROM: Final = 0.3
"""Below this share of rows, a graph would be walked in vain: their codes are scanned."""
LISTS_PER_ROOT: Final = 4
"""Lists, for each of the square root of the number of images."""
PROBED: Final = 1 / 4
"""Share of the lists that a search reads."""
SAMPLE: Final = 8_192
"""Vectors that directions are learned from; 256 MB at d = 8192."""
OUTGROWN: Final = 4
"""Times as many images as it was learned for from which on an index is made anew."""
LEAST_PROBED: Final = 4
"""Lists that a search reads at least."""
LEARNED_FROM: Final = 40
"""Images of a sample for each list."""
BY_PROBES, BY_LISTS = 0, 1
"""FAISS's ways to share a search of lists out to threads."""

Sample = Callable[[int], Iterator[NDArray[np.float32]]]


class Coded:
    """Codes under ids. Make one with `Coded.learned` or `Coded.read`."""

    def __init__(
        self,
        kind: Kind,
        setup: IndexSetup,
        directions: NDArray[np.float32],
        index: Any,
        learned_for: int,
        device: Device,
    ) -> None:
        self._kind = kind
        self._learned_for = learned_for
        self._setup = setup
        self._directions = directions
        self._index = index
        self._map = RowMap()
        self._signs: Signs | None = None
        self._turned = False
        # Only an index of lists has a counterpart on a GPU.
        self._device = device if lists_of(index) else CPU
        self._copy: GpuCopy | None = None
        self._copying = threading.Lock()

    @classmethod
    def learned(
        cls, kind: Kind, setup: IndexSetup, sample: Sample, count: int, device: Device = CPU
    ) -> Coded:
        """An empty one for `count` vectors; `sample` gives so many of them, in pieces `[n, d]`."""
        directions = projection.learn(np.concatenate(list(sample(SAMPLE))), setup.width)
        if kind == "compressed":
            # A sign tells as much of every number then: unturned, the first ones are far larger.
            directions = projection.turned(directions)
        is_listed = kind == "compressed" and (count >= setup.ivf_from or device.copied is not None)
        lists = LISTS_PER_ROOT * math.isqrt(count) if is_listed else 0
        short = np.concatenate([piece @ directions.T for piece in sample(max(SAMPLE, LEARNED_FROM * lists))])
        index = new_index(kind, short.shape[1], min(lists, len(short) // LEARNED_FROM))
        faiss.omp_set_num_threads(THREADS)
        index.train(short)
        made = cls(kind, setup, directions, index, count, device)
        made._turned = kind == "compressed"
        if made._signed and count >= setup.signed_from:
            made._signs = Signs(index, short)
        return made

    @classmethod
    def read(cls, content: Content, setup: IndexSetup, device: Device = CPU) -> Coded:
        """What `sections` gave. Raises ValueError, TypeError or KeyError where it does not fit together."""
        kind, settings, arrays = content.kind, content.settings, Arrays(content.arrays)
        directions = arrays.get("directions", (None, None))
        learned_for = int(settings["learned_for"])
        width = min(setup.width, directions.shape[1])
        if len(directions) < width <= learned_for:
            raise ValueError(f"its codes have {len(directions)} numbers, not {width}")
        index = new_index(kind, len(directions), int(settings["lists"]))
        restored(index, settings, arrays)
        read = cls(kind, setup, directions, index, learned_for, device)
        first = arrays.get("first", (None,))
        given, digests = (arrays.get(name, first.shape) for name in ("given", "digests"))
        read._map = RowMap(first, given, digests, arrays.get("others", (None, 2)))
        if read._map.rows != index.ntotal:
            raise ValueError(f"it has {index.ntotal} codes for {read._map.rows} rows")
        # Earlier versions did not turn directions: their codes are compared without signs.
        read._turned = bool(settings.get("turned", False))
        read._sign()
        return read

    @property
    def kind(self) -> Kind:
        """Which of the two it is."""
        return self._kind

    @property
    def count(self) -> int:
        """How many ids it holds."""
        return self._map.count

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self._directions.shape[1])

    @property
    def wasted(self) -> float:
        """Share of the rows whose images are gone."""
        return self._map.dead / max(self._map.rows, 1)

    @property
    def outgrown(self) -> bool:
        """Whether it was learned for a much smaller gallery, or should have lists, or none, or signs."""
        listed = lists_of(self._index) > 0
        due = self._kind == "compressed" and self.count >= self._setup.ivf_from
        # Half of the number is let go first, and a GPU searches nothing but lists.
        idle = listed and self.count < self._setup.ivf_from // 2 and self._device.copied is None
        unsigned = self._kind == "compressed" and not (listed or self._turned)
        unsigned = unsigned and self.count >= self._setup.signed_from
        return self.count > OUTGROWN * self._learned_for or (due and not listed) or idle or unsigned

    @property
    def memory_bytes(self) -> int:
        """Of codes, signs and directions, ids, lists or graph."""
        width, rows = len(self._directions), self._map.rows
        graph = rows * (2 * LINKS * 4 + LINKS * 4 // (LINKS - 1) + 12) if self._kind == "hnsw" else 0
        lists = rows * 8 + lists_of(self._index) * width * 4
        signs = 0 if self._signs is None else self._signs.memory_bytes
        return self._directions.nbytes + rows * width + signs + graph + lists + self._map.memory_bytes

    def ids(self) -> NDArray[np.int64]:
        """Ids [n] that it holds, ascending."""
        return self._map.ids()

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors [n, d] under ids [n]."""
        short = vectors @ self._directions.T
        new = self._map.add(ids, vectors)
        if len(new):
            faiss.omp_set_num_threads(THREADS)
            first = self._index.ntotal
            self._index.add(np.ascontiguousarray(short[new]))
            self._sign()
            if self._copy is not None:
                self._copy.add(np.arange(first, first + len(new)), short[new])

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove ids [n]. Raises RuntimeError where it does not hold one."""
        self._map.remove(ids)

    def clear(self) -> None:
        """Remove all; what was learned stays."""
        self._index.reset()
        if self._signs is not None:
            self._signs.clear()
        self._copy = None
        self._map = RowMap()

    def search(
        self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> list[Candidates]:
        """Candidates for each probe [B, d]: the `rescored` first by their codes, or 2 k where that is more.

        Where no more than these are to be searched, they are all of them.
        """
        wanted = max(self._setup.rescored, 2 * k)
        allowed = self._allowed(among)
        rows = np.flatnonzero(allowed) if allowed is not None else None
        searched = self._map.rows if rows is None else len(rows)
        if searched <= wanted:
            found = np.arange(searched) if rows is None else rows
            return [self._candidates(found, among)] * len(probes)
        short = np.ascontiguousarray(probes @ self._directions.T)
        if among is None and self._device.copied is not None:
            nearest = self._on_gpu(short, wanted)
            if nearest is not None:
                return [self._candidates(each, None) for each in nearest]
        return [self._candidates(each[each >= 0], among) for each in self._nearest(short, wanted, allowed)]

    def sections(self) -> tuple[dict[str, Any], list[Section]]:
        """All of it: learning takes longer than reading."""
        arrays = {"directions": self._directions, **self._map.arrays()}
        settings, sections = sections_of(self._index, arrays, self._map.first == NONE)
        return settings | {"learned_for": self._learned_for, "turned": self._turned}, sections

    @property
    def _signed(self) -> bool:
        """Whether it is of those that have signs, when there are enough of them."""
        return self._turned and not lists_of(self._index)

    def _sign(self) -> None:
        """Make the signs of all codes that have none yet."""
        if self._signs is not None:
            self._signs.follow()
        elif self._signed and self._map.rows >= self._setup.signed_from:
            faiss.omp_set_num_threads(THREADS)
            # Codes of images that are gone are zeros once they were read from a file.
            live = np.flatnonzero(self._map.first != NONE)
            chosen = live[:: max(1, len(live) // SAMPLE)] if len(live) else np.arange(1)
            self._signs = Signs(self._index, self._index.reconstruct_batch(chosen))

    def _allowed(self, among: NDArray[np.int64] | None) -> NDArray[np.bool_] | None:
        """Of each row, whether it is searched; None for all."""
        if among is None:
            return self._map.first != NONE if self._map.dead else None
        allowed = np.zeros(self._map.rows, np.bool_)
        rows = self._map.rows_of(among)
        allowed[rows[rows != NONE]] = True
        return allowed

    def _on_gpu(self, short: NDArray[np.float32], wanted: int) -> list[NDArray[np.int64]] | None:
        """Rows by the copy on the GPU, without those whose images are gone; None where there are too few."""
        with self._copying:
            if self._copy is None:
                self._copy = GpuCopy(self._device, self._index, np.arange(self._index.ntotal))
            copy = self._copy
        lists = lists_of(self._index)
        spare = min(self._map.dead, wanted)
        found = copy.search(short, wanted + spare, max(LEAST_PROBED, math.ceil(PROBED * lists)))
        if found is None:
            return None
        live = [row[row >= 0] for row in found[1]]
        nearest = [row[self._map.first[row] != NONE][:wanted] for row in live]
        return None if min(map(len, nearest)) < wanted else nearest

    def _nearest(
        self, short: NDArray[np.float32], wanted: int, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """Rows [B, wanted] by their codes, -1 where there are no more."""
        share, searched, selector = 1.0, self._map.rows, None
        if allowed is not None:
            searched = int(np.count_nonzero(allowed))
            share = searched / len(allowed)
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        index = self._index
        lists = lists_of(index)
        if lists:
            # As global as the threads; a search that runs meanwhile is only slower or faster by it.
            index.parallel_mode = BY_LISTS if len(short) < THREADS else BY_PROBES
            faiss.omp_set_num_threads(THREADS)
            # The fewer rows of a list are searched, the more lists are.
            for probed in (min(lists, math.ceil(max(PROBED * lists, LEAST_PROBED) / share)), lists):
                parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probed)
                rows = index.search(short, wanted, params=parameters)[1]
                if np.all(rows >= 0) or probed == lists:
                    break
            return np.asarray(rows)
        faiss.omp_set_num_threads(min(len(short), THREADS))
        if self._signs is not None:
            kept = self._signs.nearest(short, wanted, searched, selector)
            if kept is not None:
                return kept
        if self._kind == "hnsw" and share >= SCANNED_FROM:
            parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=max(WALKED, 2 * wanted))
            rows = index.search(short, wanted, params=parameters)[1]
            if np.all(rows >= 0):
                return np.asarray(rows)
        index = faiss.downcast_index(index.storage) if self._kind == "hnsw" else index
        parameters = None if selector is None else faiss.SearchParameters(sel=selector)
        return np.asarray(index.search(short, wanted, params=parameters)[1])

    def _candidates(self, rows: NDArray[np.int64], among: NDArray[np.int64] | None) -> Candidates:
        ids = self._map.first[rows].copy()
        copies: dict[int, NDArray[np.int64]] = {}
        for position, row in enumerate(rows.tolist()):
            members = self._map.members(row)
            if members is not None:
                members = members if among is None else members[np.isin(members, among)]
                ids[position] = members[0]
                copies[int(members[0])] = members
        return Candidates(ids, copies)
