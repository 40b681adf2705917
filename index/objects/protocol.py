"""The protocol of an object store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there: its name, its bytes, and when it was written, by the store's clock, in UTC."""

    name: str
    size: int
    written_at: datetime


class Objects(Protocol):
    """Bytes by name; parts of a name are separated by `/`. All methods may be called from any thread.

    All raise ObjectStoreError where the store does not answer.
    """

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write objects, durably; where it raises, some may be there."""

    def read(self, name: str) -> bytes:
        """An object. Raises UnknownObjectError."""

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those of these objects that are there, by name."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; one that is not there is none that fails."""

    def under(self, prefix: str) -> Iterator[Stored]:
        """All objects whose names begin with this folder, in any order."""

    def below(self, folder: str) -> Self:
        """The store of the names that begin with this folder, without it."""

    def fault(self) -> str | None:
        """What keeps it from answering, with the remedy; None where nothing does."""
