"""The client that returns when the answer is there; it may be used by several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from lka_reid_client.answers import AlertEvent
from lka_reid_client.call import Attempts, Call, Reading, not_ours, refusal
from lka_reid_client.connection import UNANSWERED, connect, without_password
from lka_reid_client.errors import AbandonedError, RefusedError
from lka_reid_client.events import SILENCE_S, Listening
from lka_reid_client.operation import Synchronous
from lka_reid_client.operations import Operations
from lka_reid_client.response import Response

T = TypeVar("T")


class Client(Operations, Synchronous):
    """Talks to one service.

    Every method raises ServiceUnreachableError or RefusedError. Uploads, and changes that come to the same
    when they are sent twice, are sent again where the service says "later", for two minutes at most.

    Args:
        url: such as `http://127.0.0.1:8000`, with the path prefix where the service has one.
        key: API key, where the service has keys.
        timeout_s: s for one answer.
        collection: what requests are about; None for the default one.
        on_wait: called before every wait with its length in s and the answer's reason.
        transport: stands in for the network, as httpx takes it; proxies are not used then.

    Raises:
        ServiceUnreachableError: no URL, no key, or a proxy that cannot be used.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        timeout_s: float = 60.0,
        *,
        collection: str | None = None,
        on_wait: Callable[[float, str], None] = lambda _seconds, _reason: None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = without_password(url)
        self.collection = collection
        self._timeout_s = timeout_s
        self._on_wait = on_wait
        self._abandoned = threading.Event()
        self._http = connect(httpx.Client, url, key, timeout_s, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def abandon(self) -> None:
        """End all waits, in whatever thread, by AbandonedError; what is being answered is not disturbed."""
        self._abandoned.set()

    @property
    def is_abandoned(self) -> bool:
        """Whether `abandon` was called."""
        return self._abandoned.is_set()

    def send(self, call: Call[T]) -> T:
        """What the answer to a call means; the methods of `Operations` send theirs by it."""
        attempts = Attempts(call, self.url, self._timeout_s, self._on_wait)
        body = call.body()
        params = call.params_for(self.collection)
        if call.after_s and self._abandoned.wait(call.after_s):
            raise AbandonedError
        while True:
            outcome: Response | Exception
            try:
                outcome = self._once(call, params, body)
            except UNANSWERED as error:
                outcome = error
            wait = attempts.wait_after(outcome)
            if wait is None:
                return attempts.answered(outcome)
            if self._abandoned.wait(wait):
                raise AbandonedError

    def alert_events(self, after: int | None = None) -> Iterator[AlertEvent]:
        """Alerts as they are raised, in order and each once, until `abandon`; streams that end are followed
        by others.

        Args:
            after: the id of the last alert that is known; None to begin with the next one.
        """
        listening = Listening(after)
        while not self.is_abandoned:
            call = listening.call()
            outcome: Response | Exception | None = None
            try:
                with self._stream(
                    call,
                    call.params_for(self.collection),
                    timeout=httpx.Timeout(self._timeout_s, read=SILENCE_S),
                ) as response:
                    if response.status_code == 200:
                        listening.opened()
                        for piece in response.iter_bytes():
                            yield from listening.take(piece)
                    else:
                        outcome = self._read(call, response)
            except UNANSWERED as error:
                outcome = error
            attempts = partial(Attempts, call, self.url, self._timeout_s, self._on_wait)
            wait = listening.wait_after(outcome, attempts)
            if wait is None:
                return
            self._abandoned.wait(wait)

    def refusal(self, status: int, problem: str) -> RefusedError:
        """A problem document, such as an item of a batch has, as the error that a request would raise."""
        return refusal(self.url, Response(status, {}, problem.encode()))

    def not_ours(self, status: int) -> RefusedError:
        """The error of an answer that this service does not give."""
        return RefusedError(status, not_ours(self.url, status))

    def _once(self, call: Call[T], params: dict[str, Any], body: dict[str, Any]) -> Response:
        with self._stream(call, params, **body) as response:
            return self._read(call, response)

    def _stream(
        self, call: Call[Any], params: dict[str, Any], **more: Any
    ) -> AbstractContextManager[httpx.Response]:
        return self._http.stream(call.method, call.path, params=params, headers=dict(call.headers), **more)

    def _read(self, call: Call[Any], response: httpx.Response) -> Response:
        reading = Reading(call, self._timeout_s, response)
        for piece in response.iter_bytes():
            reading.take(piece)
        return reading.done(response)
