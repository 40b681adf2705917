"""What can go wrong with the queue itself."""

from __future__ import annotations

from typing import Self


class QueueUnavailableError(Exception):
    """Redis does not answer, answers too late, or has no room; the message says which."""


class MissingGroupError(QueueUnavailableError):
    """The stream or its group is not there, as after Redis has lost its data."""


class ForeignBundleError(Exception):
    """The queue is another bundle's; the message names both fingerprints."""


class DeadLetterError(Exception):
    """Workers ended while they had the image in hand, so often that no other one is risked for it."""

    @classmethod
    def of(cls, entry: str, workers: int) -> Self:
        """The dead letter of a request's `entry`, which so many workers ended with."""
        return cls(f"{workers} workers ended with this image in hand; it is dead letter {entry}")


class SplitBatchError(Exception):
    """A worker ended with a batch in hand: its images are to be sent one by one, so that one harms none."""


class RedisUrlError(ValueError):
    """The URL of Redis does not read; the message does not repeat it, for its password's sake."""
