"""What has come of the message that is coming, counted against its bounds."""

from __future__ import annotations

from service.api.error_kinds import HEAD_TOO_LARGE, MALFORMED
from service.api.errors import ServiceError
from service.transport.bounds import Bounds


class Incoming:
    """Counts one connection's messages, one after the other: first the head of each, then its body.

    Attributes:
        has_begun: whether anything of a message has come.
        in_head: whether its head is being read.
        in_body: whether its body is being read, or will be.
        framing: the header field that says how long the body is; empty where there is none.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.has_begun = False
        self.in_head = False
        self.in_body = False
        self.framing = b""
        self._head = 0
        self._head_raw = 0
        self._content = 0
        self._body_raw = 0
        self._passed = False

    def begin(self) -> None:
        """The first line of a head comes."""
        self.has_begun = self.in_head = True
        self.framing = b""
        self._head = 0

    def field(self, size: int, number: int = 0) -> None:
        """A part of a head is whole: so many bytes, the header field of this number.

        Raises:
            ServiceError: HEAD_TOO_LARGE.
        """
        self._head += size
        if self._head > self._bounds.head_bytes or number > self._bounds.head_fields:
            raise self._too_large()

    def end_head(self, framing: bytes) -> None:
        """A head is whole; the body comes next."""
        self.in_head, self.in_body, self._passed = False, True, True
        self.framing = framing
        self._head_raw = self._content = self._body_raw = 0

    def add(self, content: int) -> None:
        """So many bytes are of the body itself."""
        self._content += content

    def end(self) -> None:
        """A message is whole."""
        self.has_begun = self.in_body = False
        self._passed = True

    def count(self, size: int, was_body: bool) -> None:
        """So many bytes were read, whatever they are: a field or a chunk size without end is in no event.

        Raises:
            ServiceError: HEAD_TOO_LARGE; MALFORMED, for a body that is mostly none.
        """
        passed, self._passed = self._passed, False
        if self.in_body:
            # Where it began among these bytes, only the end of them is of it.
            self._body_raw += size if was_body and not passed else 0
            if self._body_raw > self._bounds.framing_bytes + 9 * self._content:
                raise ServiceError(MALFORMED, "the body's chunks are mostly sizes and extensions")
        else:
            self._head_raw += 0 if passed else size
            if self._head_raw > self._bounds.head_bytes:
                raise self._too_large()

    def _too_large(self) -> ServiceError:
        return ServiceError(
            HEAD_TOO_LARGE,
            f"a request's line and header fields may have {self._bounds.head_bytes:,} bytes, and be "
            f"{self._bounds.head_fields} fields",
        )
