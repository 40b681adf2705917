"""An image that waits to be embedded: the answer that it gets, and why it may get none."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass

from models.preprocessing import Pixels
from service.inference.forward import Features


class Overloaded(Exception):  # noqa: N818 - a state of the service, not a fault
    """Every place is taken; come back later."""


class Expired(Exception):  # noqa: N818 - a state of the request, not a fault
    """The request's deadline passed before its answer was there."""


class WorkerStoppedError(Exception):
    """The worker thread is not running: not started yet, shut down, or dead."""


@dataclass(frozen=True)
class Embedded:
    """One image's answer.

    Attributes:
        features: its descriptor and strips.
        queue_s: s between handing in the image and the start of its batch.
        embed_s: s that its batch took.
    """

    features: Features
    queue_s: float
    embed_s: float


Outcome = Embedded | Exception
"""What became of an image."""


class Group:
    """Images that were handed in together: each is answered by itself, and who waits when all of them are.

    Args:
        count: of the images.
        deadline: of `time.monotonic()`, in s.

    Attributes:
        future: gets what became of each, in their order; cancelling it gives all of them up.
        context: the caller's, which knows the request's id.
    """

    def __init__(self, count: int, deadline: float) -> None:
        self.deadline = deadline
        self.queued_at = time.monotonic()
        self.future: Future[list[Outcome]] = Future()
        self.context = copy_context()
        self._outcomes: list[Outcome | None] = [None] * count
        self._left = count
        self._answering = threading.Lock()
        self._late = Expired("the deadline passed before the image was embedded")

    def answer(self, row: int, outcome: Outcome) -> None:
        """Answer an image, unless it has an answer already, as by closing the batcher."""
        with self._answering:
            if self._outcomes[row] is not None:
                return
            self._outcomes[row] = outcome
            self._left -= 1
            if self._left:
                return
        with suppress(InvalidStateError):
            self.future.set_result(self.so_far())

    def so_far(self) -> list[Outcome]:
        """What has become of each image until now."""
        return [self._late if outcome is None else outcome for outcome in self._outcomes]


@dataclass(eq=False, frozen=True, slots=True)
class WaitingImage:
    """An image without an answer yet.

    Attributes:
        image: prepared, uint8 `[3, H, W]`.
        group: that it was handed in with.
        row: its number there.
    """

    image: Pixels
    group: Group
    row: int

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it."""
        return not self.group.future.cancelled()

    def answer(self, outcome: Outcome) -> None:
        """See `Group.answer`."""
        self.group.answer(self.row, outcome)

    def drop_if_expired(self) -> bool:
        """Whether the deadline has passed; that is the answer then."""
        expired = time.monotonic() >= self.group.deadline
        if expired:
            self.answer(Expired("the deadline passed while the image was waiting"))
        return expired
