"""An image file that waits to be decoded in another process, and who waits for its pixels."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from models.decoding.bounds import MAX_PIXELS
from models.decoding.errors import ImageError
from models.decoding.process import DecoderProcess, ProcessEndedError

GRACE_S = 0.5
"""s that an image which nobody wants any more may still take; a new process needs as much to start."""


@dataclass(eq=False)
class Job:
    """An image file.

    Attributes:
        data: the file.
        spec: height, width, mean and std of the prepared image; None where all pixels are wanted.
        deadline: of `time.monotonic()`, in s.
        future: gets the prepared image, or the image.
        ended: processes that have ended over it.
        unwanted_at: when nobody waited for it any more; None while somebody does.
    """

    data: bytes
    spec: list[Any] | None
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
        """What a process has made of it: pixels, or an `ImageError`; None where nobody waits.

        Raises:
            ProcessEndedError: nothing that was asked for.
        """
        if "refused" in said:
            return ImageError(str(said["refused"]))
        if self.future.cancelled():
            return None
        shape = said.get("shape")
        if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int for side in shape):
            raise ProcessEndedError("it says what it cannot mean")
        first, second, third = shape
        if self.spec is not None:
            if shape != [3, *self.spec[:2]]:
                raise ProcessEndedError("it has prepared another image")
            return process.pixels((first, second, third), np.float32)
        if min(shape) < 1 or third != 3 or first * second > MAX_PIXELS:
            raise ProcessEndedError("it has decoded what it was to refuse")
        return Image.fromarray(process.pixels((first, second, third), np.uint8))
