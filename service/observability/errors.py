"""What went wrong last: errors that were answered, by kind and route, for a person who looks."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

KEPT = 32


@dataclass(frozen=True)
class AnsweredError:
    """Errors of one kind that one route answered.

    Attributes:
        kind: as in the metrics' `reason`.
        route: the method and the route's template; no path, which may hold an image id.
        count: since the start of the service.
        last: when it came last, in UTC.
        request_id: of that request, by which the log knows it.
    """

    kind: str
    route: str
    count: int
    last: datetime
    request_id: str


class AnsweredErrors:
    """The KEPT pairs of kind and route that erred last; may be used from any thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], AnsweredError] = {}
        self._lock = threading.Lock()

    def note(self, kind: str, route: str, request_id: str) -> None:
        """An error was answered."""
        with self._lock:
            before = self._known.pop((kind, route), None)
            count = 1 if before is None else before.count + 1
            self._known[kind, route] = AnsweredError(kind, route, count, datetime.now(UTC), request_id)
            if len(self._known) > KEPT:
                del self._known[next(iter(self._known))]

    def newest_first(self) -> list[AnsweredError]:
        """What is known."""
        with self._lock:
            return list(reversed(self._known.values()))
