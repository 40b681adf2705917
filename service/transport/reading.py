"""Whether a client reads its answers."""

from __future__ import annotations

READ_STEP = 64 * 1024
"""Bytes that a client takes at least for the wait to begin again."""


class Reading:
    """How a client reads on one connection.

    Attributes:
        since: when it last had nothing to read or took `READ_STEP` bytes; s, 0 before the first look.
    """

    def __init__(self) -> None:
        self.since = 0.0
        self._unread = 0

    def is_stalled(self, unread: int, now: float, stall_s: float) -> bool:
        """Whether bytes have waited for longer than `stall_s` while the client took hardly any.

        Args:
            unread: bytes of answers that the client has not taken.
            now: s.
            stall_s: that an answer may wait.
        """
        if unread == 0 or unread <= self._unread - READ_STEP or not self._unread:
            self.since = now
            self._unread = unread
        return unread > 0 and now - self.since > stall_s
