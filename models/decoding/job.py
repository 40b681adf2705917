"""Image files that wait for another process, and who waits for what that makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from models.decoding.errors import DetectorError, ImageError, TogetherError
from models.decoding.process import DecoderProcess
from models.decoding.tasks import Prepare, Task

GRACE_S = 0.5
"""s that an image which nobody wants any more may still take; a new process needs as much to start."""
TOGETHER_S = 2.0
"""s that a process may take for several files, before it is ended: far more than ordinary ones need."""


@dataclass(eq=False)
class Job:
    """An image file, or several for one process.

    Attributes:
        files: one; several where the task is `Prepare`.
        task: what is to be made of them.
        deadline: of `time.monotonic()`, in s.
        future: gets what was made of them.
        ended: processes that have ended over them.
        given_at: when a process got them; None while none has.
        unwanted_at: when nobody waited for them any more; None while somebody does.
    """

    files: Sequence[bytes]
    task: Task
    deadline: float
    future: Future[Any]
    ended: int = 0
    given_at: float | None = None
    unwanted_at: float | None = None

    def ends_at(self) -> float:
        """When the process that has it is ended."""
        moments = [self.deadline]
        if self.unwanted_at is not None:
            moments.append(self.unwanted_at + GRACE_S)
        if self.given_at is not None and len(self.files) > 1:
            moments.append(self.given_at + TOGETHER_S)
        return min(moments)

    def is_late(self, now: float) -> bool:
        """Whether its process is to be ended; notes when it was no longer wanted."""
        if self.unwanted_at is None and self.future.cancelled():
            self.unwanted_at = now
        return now >= self.ends_at()

    def why_ended(self, now: float) -> str:
        """Why its process is ended, once it is late."""
        if self.unwanted_at is not None:
            return "as nobody waited for its image"
        return "at a deadline" if now >= self.deadline else "as it was long about several images"

    def expire(self, now: float) -> None:
        """Tell that the deadline has passed, or that its files took long together."""
        if len(self.files) > 1 and now < self.deadline:
            self.answer(TogetherError(f"{len(self.files)} images took a process more than {TOGETHER_S:g} s"))
        else:
            self.answer(TimeoutError("the deadline passed before the image was decoded"))

    def refuse(self, why: str) -> None:
        """Tell that the image is no usable one; of several, that they cannot be decoded together."""
        self.answer(self._refusal(why))

    def answer(self, outcome: Any) -> None:
        """Tell whoever waits, unless nobody does."""
        with suppress(InvalidStateError):
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)

    def outcome(self, said: dict[str, Any], process: DecoderProcess) -> Any:
        """What a process has made of them, or why it makes nothing of it; None where nobody waits.

        Raises:
            ProcessEndedError: nothing that was asked for.
        """
        if "refused" in said:
            return self._refusal(str(said["refused"]))
        if "unable" in said:
            return DetectorError(str(said["unable"]))
        return None if self.future.cancelled() else self.task.outcome(said, process)

    def _refusal(self, why: str) -> object:
        if len(self.files) > 1:
            return TogetherError(f"one of {len(self.files)} images is refused: {why}")
        return [ImageError(why)] if isinstance(self.task, Prepare) else ImageError(why)
