"""Where the audit log's lines go: to files of this machine, or to the store that replicas share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from service.access.auditchain import Link


class AuditHome(Protocol):
    """Chained lines that outlive the process. Methods raise OSError or SharedStoreError where they cannot."""

    @property
    def where(self) -> str:
        """Where they are, for people."""

    @property
    def is_remote(self) -> bool:
        """Whether a line takes a way over a network, for which nothing else should wait."""

    def prepare(self) -> None:
        """Before the first line: see that only those who may read them can."""

    def check(self) -> None:
        """See that a line can be written."""

    def append(self, text: str) -> None:
        """Write an entry, a JSON object, chained to the one before."""

    def close(self) -> None:
        """Let go of it; the next line opens it anew."""


class AuditLines(Protocol):
    """The lines of the audit log, for reading."""

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """Where each line is, and the line with its end, oldest first."""

    def head(self) -> Link:
        """The last entry that was written, as noted apart from the lines."""
