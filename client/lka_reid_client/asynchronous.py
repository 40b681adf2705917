"""The client whose methods are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from lka_reid_client.call import Attempts, Call, Reading
from lka_reid_client.connection import UNANSWERED, connect, without_password
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

    async def _once(self, call: Call[T], params: dict[str, Any], body: dict[str, Any]) -> Response:
        async with self._http.stream(
            call.method, call.path, params=params, headers=dict(call.headers), **body
        ) as response:
            reading = Reading(call, self._timeout_s, response)
            async for piece in response.aiter_bytes():
                reading.take(piece)
            return reading.done(response)
