"""Alerts as they are raised, out of the service's stream of server-sent events."""

from __future__ import annotations

from collections.abc import Callable

from lka_reid_client.answers import AlertEvent
from lka_reid_client.call import Attempts, Call, UnreadableError
from lka_reid_client.calls.parsing import nothing
from lka_reid_client.response import Response

AGAIN_S = 1.0
"""s until a stream that has ended is asked for again."""
SILENCE_S = 60.0
"""s without a byte after which a stream counts as lost: the service sends one each 15 s at least."""
LONGEST = 1024 * 1024
"""Bytes of a line at most."""


class Listening:
    """Where a listener is, over the streams that it reads one after another.

    Args:
        after: the id of the last alert that is known; None to begin with the next one.
    """

    def __init__(self, after: int | None) -> None:
        self._after = after
        self._attempts: Attempts[None] | None = None
        self._data: list[str] = []
        self._rest = b""

    def call(self) -> Call[None]:
        """The request for the alerts that come next."""
        self._data, self._rest = [], b""
        headers = {} if self._after is None else {"Last-Event-ID": str(self._after)}
        return Call("GET", "/alerts/events", nothing, headers=headers, waits=True, repeats=True)

    def opened(self) -> None:
        """A stream has begun: what failed before it counts no more."""
        self._attempts = None

    def wait_after(
        self, outcome: Response | Exception | None, attempts: Callable[[], Attempts[None]]
    ) -> float | None:
        """s until the next stream is asked for; None where none is.

        Args:
            outcome: what came instead of a stream; None where one came, and has ended.
            attempts: begins those of the request.

        Raises:
            ServiceUnreachableError, RefusedError: see `Attempts`.
        """
        if outcome is None:
            return AGAIN_S
        self._attempts = self._attempts or attempts()
        wait = self._attempts.wait_after(outcome)
        if wait is None:
            self._attempts.answered(outcome)
        return wait

    def take(self, piece: bytes) -> list[AlertEvent]:
        """The alerts that are whole with this piece of the stream.

        Raises:
            UnreadableError: it is no stream of this service.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LONGEST:
            raise UnreadableError(f"a line of its stream is longer than {LONGEST:,} bytes")
        events = [
            event for line in lines if (event := self._line(line.decode("utf-8", "replace"))) is not None
        ]
        if events:
            self._after = events[-1].id
        return events

    def _line(self, line: str) -> AlertEvent | None:
        if line.startswith("data:"):
            self._data.append(line.removeprefix("data:").strip())
        if line or not self._data:
            return None
        text, self._data = "\n".join(self._data), []
        try:
            return AlertEvent.model_validate_json(text)
        except ValueError:
            raise UnreadableError("an event of its stream is no alert of this service") from None
