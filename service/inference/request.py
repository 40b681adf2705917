"""An image that waits to be embedded: the answer that it gets, and why it may get none."""

from __future__ import annotations

import time
from concurrent.futures import Future, InvalidStateError
from contextvars import Context
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


@dataclass(eq=False, frozen=True)
class WaitingImage:
    """An image without an answer yet.

    Attributes:
        image: prepared, uint8 `[3, H, W]`.
        deadline: of `time.monotonic()`, in s.
        queued_at: of the same clock.
        future: gets the answer.
        context: the caller's, which knows the request's id.
    """

    image: Pixels
    deadline: float
    queued_at: float
    future: Future[Embedded]
    context: Context

    def fail(self, error: Exception) -> None:
        """Answer with an error, unless there is an answer already."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return

    def succeed(self, answer: Embedded) -> None:
        """Answer, unless closing the batcher has already answered in its stead."""
        try:
            self.future.set_result(answer)
        except InvalidStateError:
            return

    def drop_if_expired(self) -> bool:
        """Whether the deadline has passed; the future is failed then."""
        expired = time.monotonic() >= self.deadline
        if expired:
            self.fail(Expired("the deadline passed while the image was waiting"))
        return expired
