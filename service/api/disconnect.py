"""Work that is only worth doing while the client is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from service.api.error_kinds import CLIENT_GONE
from service.api.errors import ServiceError

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; cancel it as soon as the client hangs up. The request's body must have been read.

    Raises:
        ServiceError: CLIENT_GONE.
    """
    working = asyncio.create_task(work)
    listening = asyncio.create_task(_hang_up(request))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ServiceError(CLIENT_GONE, CLIENT_GONE.meaning)
        return working.result()
    finally:
        for task in (working, listening):
            task.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
