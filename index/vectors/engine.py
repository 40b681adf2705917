"""The one interface of what searches vectors, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from index.vectors.kind import Kind
from index.vectors.ranking import Ranking


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is to be compared with a probe by stored descriptors.

    Attributes:
        ids: [n], of descriptors that all differ.
        copies: by an id among them, all ids with the same descriptor, ascending; only where it has some.
    """

    ids: NDArray[np.int64]
    copies: dict[int, NDArray[np.int64]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of an index file: an array that is read in pieces, while the index may grow."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Iterator[Callable[[], NDArray[Any]]]


class Engine(Protocol):
    """Normalised vectors under ids. The caller keeps searches and changes apart."""

    @property
    def kind(self) -> Kind:
        """Which it is."""

    @property
    def count(self) -> int:
        """How many ids it holds."""

    @property
    def memory_bytes(self) -> int:
        """What it takes in memory, of the processor or of a GPU."""

    def ids(self) -> NDArray[np.int64]:
        """Ids [n] that it holds, ascending."""

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors [n, d] under ids [n] that it does not hold."""

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove ids [n]. Raises RuntimeError where it does not hold one."""

    def clear(self) -> None:
        """Remove all; what was learned stays."""

    def search(
        self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> list[Ranking] | list[Candidates]:
        """For each probe [B, d] the k best of its ids, or what they are among.

        Args:
            probes: normalised.
            k: at least 1.
            among: ids that are searched, ascending; None for all. Those it does not hold are none.
        """

    def sections(self) -> tuple[dict[str, Any], list[Section]]:
        """What cannot be made anew quickly, for a file: settings, and arrays."""
