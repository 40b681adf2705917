"""One request, and what its answer means: all that both clients share but the sending."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx

from lka_reid_client.errors import ClientError, RefusedError, ServiceUnreachableError, unreachable
from lka_reid_client.naming import sendable
from lka_reid_client.response import MAX_MESSAGE, Problem, Response
from lka_reid_client.retry import PATIENCE_S, asked_wait_s, wait_s

T = TypeVar("T")

LATER = frozenset({408, 429, 502, 503, 504})
"""Answers after which the same request may succeed."""
MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer at most; an image file may be larger."""
MAX_CODING = 100
"""Characters of the name of a compression that are shown."""
LONGEST_SHOWN_S = 1_000_000
"""s that are told in full; a header may have any number of digits."""
MAX_FILE = 256 * 1024 * 1024
"""Bytes of a file that is fetched at most."""

Image = bytes | Path | str
"""An image file: its bytes, or where it lies."""
Value = str | Sequence[str]
Fields = Mapping[str, Value | None]
Part = tuple[str, tuple[str | None, bytes | str]]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request that is to be sent.

    Attributes:
        method: of HTTP.
        path: below the service's URL, quoted.
        parse: what a successful answer means; raises ValueError where it is not as this service's.
        params: of the URL, but the collection.
        parts: of the multipart form.
        form: fields of the form, as text.
        headers: beside those of the connection.
        of_collection: whether it is about one collection.
        waits: whether an answer of "later" is waited for.
        repeats: whether it is sent again, too, where nothing was answered: it comes to the same then.
        max_bytes: of the answer.
        after_s: s to wait before it is sent.
    """

    method: str
    path: str
    parse: Callable[[Response], T]
    params: Mapping[str, Value] = field(default_factory=dict)
    parts: Callable[[], list[Part]] | None = None
    form: Mapping[str, Value] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    of_collection: bool = True
    waits: bool = False
    repeats: bool = False
    max_bytes: int = MAX_ANSWER
    after_s: float = 0.0

    def params_for(self, collection: str | None) -> dict[str, Any]:
        """The URL's parameters, with the collection that the client is about."""
        named = given({"collection": collection}) if self.of_collection else {}
        return {**self.params, **named}

    def body(self) -> dict[str, Any]:
        """What httpx takes of it, with image files read.

        Raises:
            OSError: a file cannot be read.
        """
        files = list(self.parts()) if self.parts is not None else []
        fields: list[Part] = [
            (name, (None, one))
            for name, value in self.form.items()
            for one in ([value] if isinstance(value, str) else value)
        ]
        return {"files": fields + files} if fields or files else {}


def given(fields: Mapping[str, object]) -> dict[str, Value]:
    """The fields that have a value, as text. Raises InvalidCallError for one that has no UTF-8."""
    found: dict[str, Value] = {}
    for name, value in fields.items():
        if value is None:
            continue
        if isinstance(value, list | tuple | set | frozenset):
            if value:
                found[name] = [sendable(name, as_text(one)) for one in value]
        else:
            found[name] = sendable(name, as_text(value))
    return found


def as_text(value: object) -> str:
    """One value as a form or a URL has it.

    >>> as_text(True), as_text(3), as_text("a")
    ('true', '3', 'a')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)


def image_part(image: Image, name: str = "image") -> Part:
    """A file part; the service needs no name of the file, and not every name can be sent.

    Raises:
        OSError: the file cannot be read.
    """
    data = image if isinstance(image, bytes) else Path(image).read_bytes()
    return name, ("image", data)


class UnreadableError(httpx.DecodingError):
    """An answer that is not taken, and would be the same another time."""


class Reading:
    """The body of an answer as it arrives, held to a size and a time.

    An answer that is compressed is refused before anything of it is read: a few bytes of it may stand for
    any number, and none was asked for (`Accept-Encoding: identity`).
    """

    def __init__(self, call: Call[Any], timeout_s: float, response: httpx.Response) -> None:
        coding = response.headers.get("content-encoding", "").strip()
        if coding.lower() not in ("", "identity"):
            raise UnreadableError(
                f"its answer is compressed ({coding[:MAX_CODING]}), which this client does not ask for"
            )
        self._until = time.monotonic() + 2 * timeout_s
        self._max_bytes = call.max_bytes
        self._content = bytearray()

    def take(self, piece: bytes) -> None:
        """One more piece.

        Raises:
            UnreadableError: it is too long.
            httpx.ReadTimeout: it took too long.
        """
        self._content += piece
        if len(self._content) > self._max_bytes:
            raise UnreadableError(f"it is longer than {self._max_bytes:,} bytes")
        if time.monotonic() > self._until:
            raise httpx.ReadTimeout("")

    def done(self, response: httpx.Response) -> Response:
        """The whole answer."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, bytes(self._content))


class Attempts(Generic[T]):
    """Decides of one call, attempt by attempt, what an answer means and how long to wait for the next."""

    def __init__(
        self, call: Call[T], url: str, timeout_s: float, on_wait: Callable[[float, str], None]
    ) -> None:
        self.call = call
        self._url = url
        self._timeout_s = timeout_s
        self._on_wait = on_wait
        self._waited, self._count = 0.0, 0
        self._first: float | None = None

    def answered(self, outcome: Response | Exception) -> T:
        """What an answer means.

        Raises:
            RefusedError: the service refuses, or another one answers.
        """
        if isinstance(outcome, Exception):
            raise unreachable(self._url, outcome, self._timeout_s) from None
        response = outcome
        if 200 <= response.status < 300:
            try:
                return self.call.parse(response)
            except (ValueError, RecursionError):
                raise RefusedError(response.status, not_ours(self._url, response.status)) from None
        raise refusal(self._url, response)

    def wait_after(self, outcome: Response | Exception) -> float | None:
        """s to wait before the next attempt; None where this one counts.

        Raises:
            ServiceUnreachableError: nothing was answered, and it is not sent again.
            RefusedError: it was put off for as long as is waited.
        """
        self._count += 1
        headers: Mapping[str, str] = {}
        failure: ClientError
        if isinstance(outcome, Exception):
            failure = unreachable(self._url, outcome, self._timeout_s)
            if not self.call.repeats or isinstance(outcome, UnreadableError):
                raise failure from None
        elif outcome.status in LATER and self.call.waits:
            headers, failure = outcome.headers, refusal(self._url, outcome)
        else:
            return None
        self._first = self._first or time.monotonic()
        wait = wait_s(headers, self._count)
        if max(self._waited, time.monotonic() - self._first) + wait > PATIENCE_S:
            raise _given_up(failure, headers)
        self._on_wait(wait, str(failure))
        self._waited += wait
        return wait


def refusal(url: str, response: Response) -> RefusedError:
    """An answer that is no success, as an error."""
    problem = Problem.of(response)
    if problem:
        own = problem.message if problem.ours else f"{url} answered {response.status}: {problem.message}"
        return RefusedError(
            response.status,
            own,
            problem.differs,
            problem.vehicles,
            problem.kind,
            problem.request_id,
            asked_wait_s(response.headers),
        )
    if 300 <= response.status < 400:
        target = response.headers.get("location", "nowhere")[:MAX_MESSAGE]
        message = f"{url} sends on to {target}; if that is the service, name it as the URL"
    else:
        message = not_ours(url, response.status)
    return RefusedError(response.status, message, retry_after_s=asked_wait_s(response.headers))


def not_ours(url: str, status: int) -> str:
    """What is said of an answer that this service does not give."""
    return f"{url} answered {status}, but not as this service does; see whether the URL is the service's"


def _given_up(failure: ClientError, headers: Mapping[str, str]) -> ClientError:
    asked = asked_wait_s(headers)
    more = ""
    if asked and asked > PATIENCE_S:
        when = f"in {asked:,.0f} s" if asked <= LONGEST_SHOWN_S else f"in more than {LONGEST_SHOWN_S:,} s"
        more = f"; it asks to come back {when}"
    message = f"{failure} (given up after {PATIENCE_S:g} s{more})"
    if isinstance(failure, RefusedError):
        return failure.saying(message)
    return ServiceUnreachableError(message)
