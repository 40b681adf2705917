"""Which images lie in which row of an index that only grows: deletions, copies, and numbers both ways.

Codes and graphs are not taken apart when an image is deleted: its row is passed over from then on, until the
index is made anew. Images with the same vector share a row, so that a thousand copies cost what one does: a
graph would lose its way among them, and they would take all places among a probe's candidates.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NONE: Final = -1
OVERLAY: Final = 65_536
"""Digests that are kept unsorted, in a dict of some 100 bytes each."""


class Growing:
    """A one-dimensional array that things are added to the end of."""

    def __init__(self, dtype: str, values: NDArray[Any] | None = None) -> None:
        self._held = np.empty(0, dtype) if values is None else values.astype(dtype, copy=False)
        self._count = len(self._held)

    @property
    def array(self) -> NDArray[Any]:
        """What it holds; a view, to be written to as well."""
        return self._held[: self._count]

    def extend(self, values: NDArray[Any]) -> None:
        """Add to its end."""
        needed = self._count + len(values)
        if needed > len(self._held):
            grown = np.empty(max(needed, self._count + self._count // 8 + 64), self._held.dtype)
            grown[: self._count] = self.array
            self._held = grown
        self._held[self._count : needed] = values
        self._count = needed


class Digests:
    """Rows by the digest of their vector, 64 bits of it: sorted arrays, and a dict of the last ones."""

    def __init__(self, digests: NDArray[np.uint64]) -> None:
        order = np.argsort(digests, kind="stable")
        self._sorted, self._rows = digests[order], order.astype(np.int64)
        self._overlay: dict[int, int] = {}

    @property
    def memory_bytes(self) -> int:
        """What it takes, about."""
        return self._sorted.nbytes + self._rows.nbytes + 100 * len(self._overlay)

    def find(self, digest: int) -> int:
        """The row of a digest; NONE where there is none."""
        place = int(np.searchsorted(self._sorted, np.uint64(digest)))
        if place < len(self._sorted) and int(self._sorted[place]) == digest:
            return int(self._rows[place])
        return self._overlay.get(digest, NONE)

    def put(self, digest: int, row: int) -> None:
        """A new digest's row."""
        self._overlay[digest] = row
        if len(self._overlay) > OVERLAY:
            digests = np.concatenate([self._sorted, np.fromiter(self._overlay, np.uint64)])
            rows = np.concatenate([self._rows, np.fromiter(self._overlay.values(), np.int64)])
            order = np.argsort(digests, kind="stable")
            self._sorted, self._rows, self._overlay = digests[order], rows[order], {}


class RowMap:
    """Rows 0, 1, ... and the ids in each.

    `first` [rows] is the first id of each, NONE where all are gone. `given` [rows] is the first id that ever
    was in it, but never falls: it is what an id's row is looked up by. Ids that it does not lead to (copies,
    and such as come out of order) are in a dict.
    """

    def __init__(
        self,
        first: NDArray[np.int64] | None = None,
        given: NDArray[np.int64] | None = None,
        digests: NDArray[np.uint64] | None = None,
        others: NDArray[np.int64] | None = None,
    ) -> None:
        self._first = Growing("<i8", first)
        self._given = Growing("<i8", given)
        self._digests = Growing("<u8", digests)
        self._rows_by_digest = Digests(self._digests.array)
        self._others: dict[int, list[int]] = {}
        self._elsewhere: dict[int, int] = {}
        for record_id, row in np.empty((0, 2), np.int64) if others is None else others:
            self._others.setdefault(int(row), []).append(int(record_id))
            self._elsewhere[int(record_id)] = int(row)
        misled = np.flatnonzero((self.first != NONE) & (self._lookup(self.first) != np.arange(self.rows)))
        self._elsewhere |= {int(self.first[row]): int(row) for row in misled}
        self._dead = int(np.count_nonzero(self.first == NONE))
        self._count = self.rows - self._dead + sum(map(len, self._others.values()))

    @property
    def rows(self) -> int:
        """How many rows there are, those without ids among them."""
        return len(self._first.array)

    @property
    def count(self) -> int:
        """How many ids there are."""
        return self._count

    @property
    def first(self) -> NDArray[np.int64]:
        """The first id of each row; NONE where there is none."""
        return self._first.array

    @property
    def dead(self) -> int:
        """Rows without ids."""
        return self._dead

    @property
    def memory_bytes(self) -> int:
        """What it takes, about."""
        return 24 * self.rows + self._rows_by_digest.memory_bytes + 200 * len(self._elsewhere)

    def ids(self) -> NDArray[np.int64]:
        """Ids [n], ascending."""
        others = [i for row in self._others.values() for i in row]
        return np.sort(np.concatenate([self.first[self.first != NONE], np.array(others, np.int64)]))

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Give each id the row of its vector; positions [m] of those that begin a new row, in order."""
        new: list[int] = []
        digests: list[int] = []
        given: list[int] = []
        top = int(self._given.array[-1]) if self.rows else NONE
        begun: dict[int, int] = {}
        for position, record_id in enumerate(ids.tolist()):
            digest = digest_of(vectors[position])
            row = begun.get(digest, NONE) if digest in begun else self._rows_by_digest.find(digest)
            if row == NONE:
                row = begun[digest] = self.rows + len(new)
                new.append(position)
                digests.append(digest)
                if record_id <= top:
                    self._elsewhere[record_id] = row
                top = max(top, record_id)
                given.append(top)
            else:
                self._elsewhere[record_id] = row
                if row >= self.rows or self.first[row] != NONE:
                    self._others.setdefault(row, []).append(record_id)
                else:
                    self.first[row] = record_id
                    self._dead -= 1
        before = self.rows
        positions = np.array(new, np.int64)
        self._first.extend(ids[positions])
        self._given.extend(np.array(given, np.int64))
        self._digests.extend(np.array(digests, np.uint64))
        for offset, digest in enumerate(digests):
            self._rows_by_digest.put(digest, before + offset)
        self._count += len(ids)
        return positions

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove ids [n]. Raises RuntimeError, and removes none, where one is not there."""
        rows = self.rows_of(ids)
        if np.any(rows == NONE) or len(np.unique(ids)) != len(ids):
            held = int(np.count_nonzero(rows != NONE))
            raise RuntimeError(f"{len(ids)} ids were to be removed from the index, it held {held}")
        for record_id, row in zip(ids.tolist(), rows.tolist(), strict=True):
            self._elsewhere.pop(record_id, None)
            others = self._others.get(row, [])
            if self.first[row] == record_id:
                self.first[row] = others.pop(0) if others else NONE
                self._dead += int(self.first[row] == NONE)
            else:
                others.remove(record_id)
            if not others:
                self._others.pop(row, None)
        self._count -= len(ids)

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows [n] of ids [n]; NONE for those that are not there."""
        rows = self._lookup(ids)
        for position in np.flatnonzero(rows == NONE) if self._elsewhere else ():
            rows[position] = self._elsewhere.get(int(ids[position]), NONE)
        return rows

    def members(self, row: int) -> NDArray[np.int64] | None:
        """All ids of a row, ascending; None where there is one at most."""
        others = self._others.get(row)
        return None if others is None else np.sort(np.array([self.first[row], *others], np.int64))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of what it is made of, by the names of its arguments."""
        others = [(i, row) for row, ids in self._others.items() for i in ids]
        first, given = self.first.copy(), self._given.array
        return {
            "first": first,
            # Nothing of rows without ids: what is deleted must not be in a file.
            "given": np.maximum.accumulate(np.where(first == given, given, NONE)),
            "digests": np.where(first == NONE, np.uint64(0), self._digests.array),
            "others": np.array(others, np.int64).reshape(-1, 2),
        }

    def _lookup(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        given = self._given.array
        rows = np.searchsorted(given, ids)
        inside = np.minimum(rows, max(len(given) - 1, 0))
        if not len(given):
            return np.full(len(ids), NONE, np.int64)
        return np.where((given[inside] == ids) & (self.first[inside] == ids), inside, NONE).astype(np.int64)


def digest_of(vector: NDArray[np.float32]) -> int:
    """64 bits that two vectors have in common where they are equal, and else by chance alone."""
    return int.from_bytes(hashlib.blake2b(vector.data, digest_size=8).digest(), "little")
