"""The names of what a queue has in Redis."""

from __future__ import annotations

from dataclasses import dataclass

GROUP = "workers"
"""The consumer group on the stream of requests."""


@dataclass(frozen=True)
class Keys:
    """The keys of one queue; the braces keep them on one node of a Redis cluster.

    Attributes:
        queue: the queue's name.
    """

    queue: str

    @property
    def requests(self) -> str:
        """Stream: what has no answer yet, waiting or in a worker's hands."""
        return self._key("requests")

    @property
    def dead(self) -> str:
        """Stream: the newest dead letters."""
        return self._key("dead")

    @property
    def bundle(self) -> str:
        """String: the fingerprint of the bundle that the queue is for, while anyone uses it."""
        return self._key("bundle")

    @property
    def refused(self) -> str:
        """String: the fingerprint that a worker was refused for, a short while."""
        return self._key("refused")

    @property
    def workers(self) -> str:
        """Set: names of workers, of which some may be gone."""
        return self._key("workers")

    def worker(self, name: str) -> str:
        """String: what a worker says of itself, gone soon after the worker is."""
        return self._key(f"worker:{name}")

    def answers(self, service: str) -> str:
        """List: answers to one service process."""
        return self._key(f"answers:{service}")

    def _key(self, name: str) -> str:
        return f"{{{self.queue}}}:{name}"
