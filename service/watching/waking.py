"""A sleep from which any thread may wake a task."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Waking:
    """Made on the event loop of the task that sleeps. A call while nobody sleeps ends the next sleep."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def call(self) -> None:
        """Wake the sleeper, from any thread; nothing happens where the loop has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def sleep(self, seconds: float | None = None) -> bool:
        """Return when called, or after so many seconds; whether it was called."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        was_called = self._event.is_set()
        self._event.clear()
        return was_called
