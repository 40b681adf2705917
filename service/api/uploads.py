"""Uploads under way: what each holds, and who makes room when there is no more.

An upload holds the bytes that have arrived, and from its last byte to its answer a place among the images
that wait. So one that never arrives takes no place from others. Where the bytes are used up, the upload that
has been arriving longest, of the caller who holds most, makes room: it is slow, or one of very many.

The queue behind has its own bound (`service.inference.batcher`, or Redis); this one stands before decoding.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from service.inference.request import Overloaded

SHARE = 15
"""Places that a caller may have for each that is free: one alone gets 15 of 16, and others still get in."""
MIN_AGE_S = 1.0
"""s that an upload has to arrive before it may have to make room."""


class Upload:
    """One body, from its first byte to its request's answer.

    Attributes:
        caller: whose it is: a key's id, or an address.
        size: bytes that have arrived.
        is_dropped: whether it had to make room.
    """

    def __init__(self, caller: str, begun: float) -> None:
        self.caller = caller
        self.begun = begun
        self.size = 0
        self.is_whole = False
        self.is_dropped = False
        self.on_drop: Callable[[], None] = lambda: None


class Uploads:
    """Room for a number of images and for the bytes of all uploads; of one event loop.

    Args:
        places: images that wait or are embedded at the same time.
        max_bytes: of all uploads.
        clock: s, monotonic.
    """

    def __init__(self, places: int, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = places
        self._max_bytes = max_bytes
        self._clock = clock
        self._arriving: dict[Upload, None] = {}
        self._taken: Counter[str] = Counter()
        self.held = 0
        """Bytes that are held now."""

    @property
    def taken(self) -> int:
        """Places that are taken."""
        return self._taken.total()

    def begin(self, caller: str) -> Upload:
        """Let a body in; `end` has to follow.

        Raises:
            Overloaded: it would find no place now, so that its bytes need not be read.
        """
        self._check_place(caller)
        upload = Upload(caller, self._clock())
        self._arriving[upload] = None
        return upload

    def grow(self, upload: Upload, size: int) -> None:
        """Hold bytes that have arrived; others may be dropped for it.

        Raises:
            Overloaded: there is no room for them.
        """
        while self.held + size > self._max_bytes:
            slowest = self._slowest()
            if slowest is None or slowest is upload:
                raise Overloaded(f"the {self._max_bytes:,} bytes that are kept for uploads are taken")
            self._drop(slowest)
        upload.size += size
        self.held += size

    def complete(self, upload: Upload) -> None:
        """Take a place: the last byte has arrived.

        Raises:
            Overloaded: there is none.
        """
        self._check_place(upload.caller)
        self._taken[upload.caller] += 1
        upload.is_whole = True
        self._arriving.pop(upload, None)

    def end(self, upload: Upload) -> None:
        """Give back what the upload holds."""
        self._arriving.pop(upload, None)
        self.held -= upload.size
        upload.size = 0
        if upload.is_whole:
            upload.is_whole = False
            self._taken[upload.caller] -= 1
            # A counter keeps what is zero, and there are as many callers as addresses.
            self._taken += Counter()

    def _check_place(self, caller: str) -> None:
        free, own = self._places - self.taken, self._taken[caller]
        if free <= 0:
            raise Overloaded(f"all {self._places} places for images are taken")
        if own >= SHARE * free:
            raise Overloaded(
                f"this caller has {own} of the {self._places} places for images; {free} are for others"
            )

    def _slowest(self) -> Upload | None:
        """The upload that makes room; None where all have only begun."""
        held: Counter[str] = Counter()
        for upload in self._arriving:
            held[upload.caller] += upload.size
        until = self._clock() - MIN_AGE_S
        old = [upload for upload in self._arriving if upload.begun <= until and upload.size]
        # The first of equals is the one that began first.
        return max(old, key=lambda upload: held[upload.caller], default=None)

    def _drop(self, upload: Upload) -> None:
        self.end(upload)
        upload.is_dropped = True
        upload.on_drop()
