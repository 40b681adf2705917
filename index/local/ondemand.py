"""A thread that does one job whenever it is asked for, until it is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable


class OnDemand:
    """Does the job in a daemon thread, which starts with the first request.

    Requests that come while the job is done are one more, done after it.

    Args:
        name: of the thread.
        job: raises nothing; one that takes long gives up where `closing`.
    """

    def __init__(self, name: str, job: Callable[[], None]) -> None:
        self._name = name
        self._job = job
        self._waking = threading.Condition()
        self._wanted = False
        self._busy = False
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def closing(self) -> bool:
        """Whether what is under way is to end soon."""
        return self._closing

    def ask(self) -> None:
        """Have the job done; returns at once. Closed, it does nothing."""
        with self._waking:
            if self._closing:
                return
            self._wanted = True
            self._waking.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Wait until there is nothing to do: what was asked for is done, or has failed."""
        with self._waking:
            self._waking.wait_for(lambda: not self._wanted and not self._busy)

    def close(self) -> None:
        """End the thread after the job under way; a request that it has not begun is dropped. Idempotent."""
        with self._waking:
            self._closing = True
            self._wanted = False
            self._waking.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._awaited():
            try:
                self._job()
            finally:
                with self._waking:
                    self._busy = False
                    self._waking.notify_all()

    def _awaited(self) -> bool:
        """Wait until the job is wanted; False where it will not be any more."""
        with self._waking:
            self._waking.wait_for(lambda: self._wanted or self._closing)
            self._busy, self._wanted = self._wanted, False
            return self._busy
