"""The same work with several items at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
T = TypeVar("T")


async def each(work: Callable[[Item], Awaitable[T]], items: Sequence[Item], at_once: int) -> list[T]:
    """Do some work with every item, so many at a time; what came of each. The first error ends it all."""
    places = asyncio.Semaphore(at_once)

    async def one(item: Item) -> T:
        async with places:
            return await work(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
