"""An image file that waits for another process, and who waits for what that makes of it."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any

from models.decoding.errors import DetectorError, ImageError
from models.decoding.process import DecoderProcess
from models.decoding.tasks import Task

GRACE_S = 0.5
"""s that an image which nobody wants any more may still take; a new process needs as much to start."""


@dataclass(eq=False)
class Job:
    """An image file.

    Attributes:
        data: the file.
        task: what is to be made of it.
        deadline: of `time.monotonic()`, in s.
        future: gets what was made of it.
        ended: processes that have ended over it.
        unwanted_at: when nobody waited for it any more; None while somebody does.
    """

    data: bytes
    task: Task
    deadline: float
    future: Future[Any]
    ended: int = 0
    unwanted_at: float | None = None

    def ends_at(self) -> float:
        """When the process that has it is ended."""
        return self.deadline if self.unwanted_at is None else min(self.deadline, self.unwanted_at + GRACE_S)

    def is_late(self, now: float) -> bool:
        """Whether its process is to be ended; notes when it was no longer wanted."""
        if self.unwanted_at is None and self.future.cancelled():
            self.unwanted_at = now
        return now >= self.ends_at()

    def expire(self) -> None:
        """Tell that the deadline has passed."""
        self.answer(TimeoutError("the deadline passed before the image was decoded"))

    def answer(self, outcome: Any) -> None:
        """Tell whoever waits, unless nobody does."""
        try:
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)
        except InvalidStateError:
            return

    def outcome(self, said: dict[str, Any], process: DecoderProcess) -> Any:
        """What a process has made of it, or why it makes nothing of it; None where nobody waits.

        Raises:
            ProcessEndedError: nothing that was asked for.
        """
        if "refused" in said:
            return ImageError(str(said["refused"]))
        if "unable" in said:
            return DetectorError(str(said["unable"]))
        return None if self.future.cancelled() else self.task.outcome(said, process)
