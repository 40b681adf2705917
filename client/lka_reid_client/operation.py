"""Turns a function that makes a call into a method of both clients: one returns, the other is awaited."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from lka_reid_client.call import Call

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some of many things, and how the next come; `next` returns None where these were the last."""

    items: Sequence[T]
    next: Callable[[], Step[T]] = lambda: None


Step = Call[Page[T]] | Page[T] | None
"""A page, the call that brings one, or nothing more."""


class Synchronous(ABC):
    """What sends calls and waits for their answers."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """What the answer to a call means."""

    def iterate(self, step: Step[T]) -> Iterator[T]:
        """What comes page by page."""
        while step is not None:
            page = self.send(step) if isinstance(step, Call) else step
            yield from page.items
            step = page.next()


class Asynchronous(ABC):
    """What sends calls and awaits their answers."""

    @abstractmethod
    async def send(self, call: Call[T]) -> T:
        """What the answer to a call means."""

    async def iterate(self, step: Step[T]) -> AsyncIterator[T]:
        """What comes page by page."""
        while step is not None:
            page = await self.send(step) if isinstance(step, Call) else step
            for item in page.items:
                yield item
            step = page.next()


class Operation(Generic[P, T]):
    """A method that sends one call."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type[Any]) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, client: Synchronous, owner: type[Any]) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Asynchronous, owner: type[Any]) -> Callable[P, Awaitable[T]]: ...

    def __get__(self, client: Any, owner: type[Any]) -> Any:
        if client is None:
            return self.build

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self.build(*args, **kwargs))

        return update_wrapper(method, self.build)


class Pages(Generic[P, T]):
    """A method that iterates over what comes page by page."""

    def __init__(self, build: Callable[P, Step[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type[Any]) -> Callable[P, Step[T]]: ...
    @overload
    def __get__(self, client: Synchronous, owner: type[Any]) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: Asynchronous, owner: type[Any]) -> Callable[P, AsyncIterator[T]]: ...

    def __get__(self, client: Any, owner: type[Any]) -> Any:
        if client is None:
            return self.build

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.iterate(self.build(*args, **kwargs))

        return update_wrapper(method, self.build)
