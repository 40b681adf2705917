"""The client whose methods are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from lka_reid_client.answers import AlertEvent
from lka_reid_client.call import Attempts, Call, Reading
from lka_reid_client.connection import UNANSWERED, connect, without_password
from lka_reid_client.events import SILENCE_S, Listening
from lka_reid_client.operation import Asynchronous
from lka_reid_client.operations import Operations
from lka_reid_client.response import Response

T = TypeVar("T")


class AsyncClient(Operations, Asynchronous):
    """Talks to one service, as `Client` does; waits are ended by cancelling the task.

    Image files that are named by their paths are read while the event loop waits; give bytes where that
    matters.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout_s: float = 60.0,
        *,
        collection: str | None = None,
        on_wait: Callable[[float, str], None] = lambda _seconds, _reason: None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = without_password(url)
        self.collection = collection
        self._timeout_s = timeout_s
        self._on_wait = on_wait
        self._http = connect(httpx.AsyncClient, url, key, timeout_s, transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """What the answer to a call means; the methods of `Operations` send theirs by it."""
        attempts = Attempts(call, self.url, self._timeout_s, self._on_wait)
        body = call.body()
        params = call.params_for(self.collection)
        if call.after_s:
            await asyncio.sleep(call.after_s)
        while True:
            outcome: Response | Exception
            try:
                outcome = await self._once(call, params, body)
            except UNANSWERED as error:
                outcome = error
            wait = attempts.wait_after(outcome)
            if wait is None:
                return attempts.answered(outcome)
            await asyncio.sleep(wait)

    async def alert_events(self, after: int | None = None) -> AsyncIterator[AlertEvent]:
        """Alerts as they are raised, in order and each once; streams that end are followed by others.

        Args:
            after: the id of the last alert that is known; None to begin with the next one.
        """
        listening = Listening(after)
        while True:
            call = listening.call()
            outcome: Response | Exception | None = None
            try:
                async with self._stream(
                    call,
                    call.params_for(self.collection),
                    timeout=httpx.Timeout(self._timeout_s, read=SILENCE_S),
                ) as response:
                    if response.status_code == 200:
                        listening.opened()
                        async for piece in response.aiter_bytes():
                            for event in listening.take(piece):
                                yield event
                    else:
                        outcome = await self._read(call, response)
            except UNANSWERED as error:
                outcome = error
            attempts = partial(Attempts, call, self.url, self._timeout_s, self._on_wait)
            wait = listening.wait_after(outcome, attempts)
            if wait is None:
                return
            await asyncio.sleep(wait)

    async def _once(self, call: Call[T], params: dict[str, Any], body: dict[str, Any]) -> Response:
        async with self._stream(call, params, **body) as response:
            return await self._read(call, response)

    def _stream(
        self, call: Call[Any], params: dict[str, Any], **more: Any
    ) -> AbstractAsyncContextManager[httpx.Response]:
        return self._http.stream(call.method, call.path, params=params, headers=dict(call.headers), **more)

    async def _read(self, call: Call[Any], response: httpx.Response) -> Response:
        reading = Reading(call, self._timeout_s, response)
        async for piece in response.aiter_bytes():
            reading.take(piece)
        return reading.done(response)
