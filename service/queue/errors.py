"""What can go wrong with the queue itself."""

from __future__ import annotations


class QueueUnavailableError(Exception):
    """Redis does not answer, answers too late, or has no room; the message says which."""


class MissingGroupError(QueueUnavailableError):
    """The stream or its group is not there, as after Redis has lost its data."""


class ForeignBundleError(Exception):
    """The queue is another bundle's; the message names both fingerprints."""


class DeadLetterError(Exception):
    """Workers ended while they had the image in hand, so often that no other one is risked for it."""


class RedisUrlError(ValueError):
    """The URL of Redis does not read; the message does not repeat it, for its password's sake."""
