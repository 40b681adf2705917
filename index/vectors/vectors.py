"""The vector index: descriptors by record id in memory, searched by an engine of some kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from index.cameras.normalisation import RAW, Normalisation
from index.database.changes import Described
from index.vectors.codes import Coded
from index.vectors.copies import similarities
from index.vectors.engine import Candidates
from index.vectors.flat import Flat
from index.vectors.kind import Kind
from index.vectors.ranking import NOTHING, Ranking
from index.vectors.sharedlock import SharedLock
from index.vectors.vectorfile import blocks_of

HEADER_BYTES: Final = 4_096
"""Of a file, about."""
MOVED: Final = 2
"""Times as many of the recent images are coded as come, where there are more than there should be."""


class VectorsUnusableError(Exception):
    """A change failed halfway: the index must be filled anew before it is used."""


class Exact(Protocol):
    """Where the vectors of candidates come from; see `index.vectors.source.Source.vectors`."""

    def __call__(
        self, ids: NDArray[np.int64], normalisation: Normalisation, /
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Those of the ids that are enrolled, and their vectors."""


class Vectors:
    """An inner-product index under our ids, of descriptors that one `normalisation` has made.

    `sequence` is the change that it stands at, None while it stands at none. Searches go together
    and from any thread; changes must come from one thread at a time.

    Args:
        engine: what is searched: empty, or as its file had it. A coded one has a flat part beside it, in
            which what was enrolled last is found exactly.
        normalisation: that made the vectors.
        exact: gives the vectors of a coded engine's candidates.
        recent: images in that flat part at most.
    """

    def __init__(
        self,
        engine: Flat | Coded,
        normalisation: Normalisation = RAW,
        exact: Exact | None = None,
        recent: int = 0,
    ) -> None:
        self.normalisation = normalisation
        self._lock = SharedLock()
        self._engine = engine
        self._coded = engine if isinstance(engine, Coded) else None
        self._flat = Flat(engine.dim) if isinstance(engine, Coded) else engine
        self._exact = exact
        self._recent = recent
        self._left_out: set[int] = set()
        self._filled = object()  # another one after `clear`
        self._sequence: int | None = 0

    def blocks(self) -> Iterator[bytes | memoryview]:
        """A file of what cannot be made anew quickly; see `index.vectors.vectorfile`.

        Searches and changes go on between two pieces; what is enrolled meanwhile may be left out.
        Raises VectorsUnusableError where the index was emptied meanwhile.
        """
        with self._usable():
            filled = self._filled
            settings, sections = self._engine.sections()
        for block in blocks_of(self.kind, settings, sections):
            with self._usable():
                if filled is not self._filled:
                    raise VectorsUnusableError
                data = block()
            yield data

    @property
    def kind(self) -> Kind:
        """Of the engine."""
        return self._engine.kind

    @property
    def sequence(self) -> int | None:
        """The change that the index stands at."""
        return self._sequence

    @property
    def count(self) -> int:
        """How many descriptors it holds."""
        return self._engine.count + self.recent + len(self._left_out)

    @property
    def left_out(self) -> int:
        """How many of them searches leave out, since they are damaged."""
        return len(self._left_out)

    @property
    def recent(self) -> int:
        """How many of them are beside the codes; 0 where there are no codes."""
        return 0 if self._coded is None else self._flat.count

    @property
    def wasted(self) -> float:
        """Share of the codes whose images are gone."""
        return 0.0 if self._coded is None else self._coded.wasted

    @property
    def outgrown(self) -> bool:
        """Whether what its codes were learned from was a much smaller gallery."""
        return self._coded is not None and self._coded.outgrown

    @property
    def memory_bytes(self) -> int:
        """What it takes in memory, about."""
        return self._engine.memory_bytes + (self._flat.memory_bytes if self._coded is not None else 0)

    @property
    def file_bytes(self) -> int:
        """About what `blocks` will write at most."""
        return HEADER_BYTES + (0 if self._coded is None else self._coded.memory_bytes)

    def ids(self) -> NDArray[np.int64]:
        """Ids [n] that it holds, ascending."""
        parts = [self._flat.ids(), np.array([*self._left_out], np.int64)]
        return np.sort(np.concatenate(parts if self._coded is None else [*parts, self._coded.ids()]))

    def add_described(self, piece: Described) -> None:
        """Add what the database holds, normalised; more must follow."""
        self.add(piece.ids, self.normalisation.apply(piece.descriptors, piece.cameras), sequence=None)

    def add(self, ids: NDArray[np.int64], descriptors: NDArray[np.float32], *, sequence: int | None) -> None:
        """Add normalised descriptors [n, d] under ids [n]; None as sequence where more must follow."""
        with self._changing(sequence):
            if self._coded is not None and (sequence is None or len(ids) > self._recent):
                self._coded.add(ids, descriptors)
                return
            self._flat.add(ids, descriptors)
            if self._coded is not None and self._flat.count > self._recent:
                self._code_oldest(min(MOVED * len(ids), self._flat.count - self._recent))

    def leave_out(self, record_id: int) -> None:
        """Hold an id that has no vector; more must follow."""
        with self._changing(None):
            self._left_out.add(record_id)

    def remove(self, ids: NDArray[np.int64], *, sequence: int | None) -> None:
        """Remove ids [n], each of which must be there; None as sequence where more must follow."""
        with self._changing(sequence):
            if self._left_out:
                gone = self._left_out & set(ids.tolist())
                self._left_out -= gone
                ids = ids[~np.isin(ids, [*gone])]
            if self._coded is not None and self._flat.count:
                recent = np.isin(ids, self._flat.ids())
                self._flat.remove(ids[recent])
                ids = ids[~recent]
            self._engine.remove(ids)

    def clear(self) -> None:
        """Empty it; it stands at no change until `reach`."""
        with self._changing(None):
            self._filled = object()
            self._left_out.clear()
            self._flat.clear()
            self._engine.clear()

    def reach(self, sequence: int) -> None:
        """Say that what was added and removed amounts to this change."""
        with self._changing(sequence):
            pass

    def search(
        self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None
    ) -> list[Ranking]:
        """The best k (fewer where it holds fewer) for each of the normalised probes [B, d].

        Of the ids `among` [n], ascending, where they are given: the others are passed over during the search,
        which takes the less time the fewer they are. Those that it does not hold are none.

        Ties go to the lower id, at the k-th place too, and similarities do not depend on what else was asked
        in the batch. A flat index is exact. Of a coded one, similarities are, and matches are those among its
        candidates. Raises VectorsUnusableError.
        """
        probes = np.ascontiguousarray(probes)
        if len(probes) == 0 or (among is not None and len(among) == 0):
            return [NOTHING] * len(probes)
        with self._usable():
            rankings = self._flat.search(probes, k, among)
            if self._coded is None:
                return rankings
            candidates = self._coded.search(probes, k, among)
        # Outside of the lock: what is deleted meanwhile is not read, and not found.
        coded = self._compared(probes, candidates)
        return [
            Ranking.best(
                np.concatenate([ranking.ids, ids]), np.concatenate([ranking.similarities, values]), k
            )
            for ranking, (ids, values) in zip(rankings, coded, strict=True)
        ]

    def _compared(
        self, probes: NDArray[np.float32], candidates: list[Candidates]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Ids and similarities of every candidate, for each probe."""
        wanted = np.unique(np.concatenate([each.ids for each in candidates]))
        copies = {first: ids for each in candidates for first, ids in each.copies.items()}
        held, rows = self._read(wanted, copies)
        found = []
        for probe, each in zip(probes, candidates, strict=True):
            mine = np.flatnonzero(np.isin(held, each.ids))
            values = similarities(rows[mine], probe) if len(mine) else np.empty(0, np.float64)
            groups = [each.copies.get(int(first), np.array([first])) for first in held[mine]]
            ids = np.concatenate(groups) if groups else np.empty(0, np.int64)
            found.append((ids, np.repeat(values, [len(group) for group in groups])))
        return found

    def _read(
        self, ids: NDArray[np.int64], copies: dict[int, NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Vectors under ids; of one that was deleted meanwhile, that of a copy which was not."""
        if self._exact is None:
            raise RuntimeError(
                "candidates are compared by stored descriptors, and there is no source of them"
            )
        held, rows = self._exact(ids, self.normalisation)
        for first in np.setdiff1d(ids, held):
            for other in copies.get(int(first), ())[1:]:
                found, row = self._exact(np.array([other]), self.normalisation)
                if len(found):
                    held = np.append(held, first)
                    rows = np.concatenate([rows.reshape(-1, row.shape[1]), row])
                    break
        return held, rows

    def _code_oldest(self, count: int) -> None:
        oldest = self._flat.ids()[:count]
        vectors = self._flat.vectors(oldest)
        self._flat.remove(oldest)
        self._engine.add(oldest, vectors)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        with self._lock.shared():
            if self._sequence is None:
                raise VectorsUnusableError
            yield

    @contextmanager
    def _changing(self, sequence: int | None) -> Iterator[None]:
        with self._lock.exclusive():
            self._sequence = None
            yield
            self._sequence = sequence
