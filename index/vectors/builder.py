"""Making a vector index of stored descriptors: learning what its kind has to learn, and filling it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.cameras.normalisation import Normalisation
from index.database.changes import CHUNK, OnDamage
from index.errors import DamagedImageError
from index.vectors.codes import Coded
from index.vectors.device import CPU, Device
from index.vectors.flat import Flat
from index.vectors.kind import CODED, IndexSetup, Kind
from index.vectors.source import Source
from index.vectors.vectorfile import Content
from index.vectors.vectors import Vectors

READERS: Final = min(4, os.cpu_count() or 1)
"""Threads that read descriptors while an index is filled."""

Piece = tuple[NDArray[np.int64], NDArray[np.float32]]


class Builder:
    """Makes indexes for one gallery.

    Args:
        source: of descriptors.
        descriptor_dim: d.
        setup: what is wanted of an index.
        device: that searches it.
    """

    def __init__(self, source: Source, descriptor_dim: int, setup: IndexSetup, device: Device = CPU) -> None:
        self.source = source
        self.setup = setup
        self.device = device
        self._dim = descriptor_dim

    def at_first(self, count: int) -> Kind:
        """The kind that a gallery of so many images is opened with.

        A small one is flat until its codes have been learned in the background; a large one has no room for
        that.
        """
        kind = self.setup.choose(count)
        return "flat" if kind in CODED and count < self.setup.flat_until else kind

    def empty(self, kind: Kind, ids: NDArray[np.int64], normalisation: Normalisation) -> Vectors:
        """An index of a kind for these ids [n], without them; a coded one has learned from some of them."""
        if kind not in CODED:
            return self._flat(kind, normalisation)

        def sample(size: int) -> Iterator[NDArray[np.float32]]:
            chosen = np.sort(np.random.default_rng(0).permutation(ids)[:size])
            return (vectors for _, vectors in self._pieces(chosen, normalisation, self.source.tell))

        return self._vectors(Coded.learned(kind, self.setup, sample, len(ids), self.device), normalisation)

    def of_file(self, content: Content, normalisation: Normalisation) -> Vectors:
        """The index of a file. Raises ValueError, TypeError or KeyError for what does not fit together."""
        if content.kind not in CODED:
            return self._flat(content.kind, normalisation)
        engine = Coded.read(content, self.setup, self.device)
        if engine.dim != self._dim:
            raise ValueError(f"its vectors have {engine.dim} dimensions, not {self._dim}")
        return self._vectors(engine, normalisation)

    def fill(
        self,
        vectors: Vectors,
        ids: NDArray[np.int64],
        on_piece: Callable[[], None] = lambda: None,
        *,
        strict: bool = True,
    ) -> None:
        """Add the stored descriptors of ids [n]; more must follow. `on_piece` may raise, which ends it.

        Those that are not enrolled any more are none. Raises DamagedImageError; where not `strict`, that is
        logged, and the image left out of searches.
        """

        def leave_out(record_id: int, error: DamagedImageError) -> None:
            self.source.tell(record_id, error)
            vectors.leave_out(record_id)

        for held, rows in self._pieces(ids, vectors.normalisation, None if strict else leave_out):
            on_piece()
            vectors.add(held, rows, sequence=None)

    def _flat(self, kind: Kind, normalisation: Normalisation) -> Vectors:
        return Vectors(Flat(self._dim, float16=kind == "flat16", device=self.device), normalisation)

    def _vectors(self, engine: Coded, normalisation: Normalisation) -> Vectors:
        return Vectors(engine, normalisation, self.source.vectors, self.setup.recent)

    def _pieces(
        self, ids: NDArray[np.int64], normalisation: Normalisation, on_damage: OnDamage | None
    ) -> Iterator[Piece]:
        """Ids and vectors, in order; read and normalised by some threads, a few pieces ahead."""

        def read(start: int) -> list[Piece]:
            return [
                (each.ids, normalisation.apply(each.descriptors, each.cameras))
                for each in self.source.described(ids[start : start + CHUNK], on_damage)
            ]

        starts = range(0, len(ids), CHUNK)
        if len(starts) < 2:
            for start in starts:
                yield from read(start)
            return
        with ThreadPoolExecutor(READERS, thread_name_prefix="gallery-read") as readers:
            for first in range(0, len(starts), 2 * READERS):
                for pieces in readers.map(read, starts[first : first + 2 * READERS]):
                    yield from pieces
