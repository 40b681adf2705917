"""HTTP/1.1 on one connection: uvicorn's protocol, with bounds on what a client sends and on how slowly.

uvicorn hands a request to the application once its head is there, and bounds nothing before that; what its
parser refuses, it answers in plain text. Here a connection has bounds from its first moment to its last, and
whatever is refused is answered by the same problem+json as every other error.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.api.error_kinds import MALFORMED, OVERLOADED, TIMEOUT
from service.api.errors import ServiceError
from service.api.middleware.request import REQUEST_ID
from service.identifiers import request_id
from service.observability.metrics import Metrics
from service.transport.connections import Connections, Wait
from service.transport.framing import checked_framing
from service.transport.incoming import Incoming
from service.transport.reading import Reading
from service.transport.refusal import AnswerTransport, refusal

SLICE = 16 * 1024
"""Bytes that are parsed in one go: no more than so many are looked at beyond a bound."""

log = structlog.get_logger(__name__)


def protocol_class(connections: Connections, metrics: Metrics) -> type[asyncio.Protocol]:
    """uvicorn's protocol for the connections of one server."""
    return type("Protocol", (BoundedProtocol,), {"keeper": connections, "metrics": metrics})


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request's head comes first, then its body; then its answer is due, while the next
    requests may come already.

    Attributes:
        keeper: counts the connections, and looks after each.
    """

    keeper: Connections
    metrics: Metrics

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._running: RequestResponseCycle | None = None
        self._since = 0.0
        self._refused = False
        self._incoming = Incoming(self.keeper.bounds)
        self._is_known = False
        self._rest = 0
        self._reading = Reading()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there is no room for one more."""
        super().connection_made(transport)
        self._since = self.keeper.now()
        if not self.keeper.admit(self, self.client[0] if self.client else ""):
            self._refuse(ServiceError(OVERLOADED, "all connections that are kept are in use"))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.keeper.leave(self)
        self._leave_running()
        super().connection_lost(exc)

    def wait(self) -> tuple[Wait, float] | None:
        """What it waits for from its client, and since when; None while an answer is computed."""
        if self.unread():
            return Wait.READER, self._reading.since or self.keeper.now()
        running = self._running
        if running is not None and not running.response_complete and not running.disconnected:
            return (Wait.BODY, self._since) if self._is_arriving(running) else None
        is_idle = running is not None and not self._incoming.has_begun and not self._refused
        return (Wait.IDLE if is_idle else Wait.HEAD), self._since

    def unread(self) -> int:
        """Bytes of answers that the client has not taken."""
        return int(self.transport.get_write_buffer_size())

    def make_room(self) -> None:
        """End to make room for another connection; a request that was being received is answered 503."""
        if self._incoming.has_begun and not self.unread():
            self._refuse(ServiceError(OVERLOADED, "the connection made room for others"))
        if self.unread():
            self._abort()
        else:
            self._leave_running()
            self.transport.close()

    def check(self, now: float) -> None:
        """End if the client is too slow: to read, to send a head or the next request, to stop sending."""
        bounds = self.keeper.bounds
        if self._reading.is_stalled(self.unread(), now, bounds.stall_s):
            self._abort()
            return
        waiting = self.wait()
        if waiting is None or waiting[0] in (Wait.BODY, Wait.READER):
            # A body's bounds are the application's: there is a request to answer.
            return
        age = now - self._since
        if self._refused:
            if age > bounds.linger_s:
                self._abort()
        elif self._incoming.in_body:
            if age > bounds.drain_s:
                self.transport.close()
        elif waiting[0] is Wait.IDLE:
            if age > bounds.idle_s:
                self.transport.close()
        elif age > bounds.head_s:
            if self._incoming.has_begun:
                self._refuse(ServiceError(TIMEOUT, f"the head did not arrive within {bounds.head_s:g} s"))
            else:
                self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self.keeper.check_unread()

    def data_received(self, data: bytes) -> None:
        """Parse what has come, within the bounds."""
        if self._refused:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        if not self._incoming.has_begun:
            self._incoming.has_begun, self._since = True, self.keeper.now()
        view = memoryview(data)
        for start in range(0, len(data), SLICE):
            if not self._refused and not self.transport.is_closing():
                self._feed(view[start : start + SLICE])

    def _feed(self, data: memoryview) -> None:
        was_body = self._incoming.in_body
        try:
            self.parser.feed_data(data)
            self._incoming.count(len(data), was_body)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            known = error.__context__
            if not isinstance(known, ServiceError):
                known = ServiceError(MALFORMED, f"what came is no valid HTTP/1.1: {error}")
            self._refuse(known)
        except ServiceError as error:
            self._refuse(error)
        else:
            if was_body and self.cycle.response_complete:
                self._discard(len(data))

    def _discard(self, size: int) -> None:
        self._rest += size
        if self._rest > self.keeper.bounds.drain_bytes:
            self._abort()

    def _ignore_upgrade(self, rest: memoryview) -> None:
        """Go on in HTTP/1.1, as a server may (RFC 9110, 7.8): another protocol was offered, not asked for.

        The parser stops at such a head and forgets the body; a new one gets the body's framing and reads on.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if self._incoming.framing:
            self._is_known = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + self._incoming.framing + b"\r\n\r\n")
        if rest:
            self._feed(rest)

    def on_message_begin(self) -> None:
        """A head begins."""
        if self._is_known:
            return
        if len(self.pipeline) >= self.keeper.bounds.pipelined:
            raise ServiceError(OVERLOADED, "too many requests wait on one connection")
        super().on_message_begin()
        self._incoming.begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        if not self._is_known:
            self._incoming.field(len(url))
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field; or a trailer, which nobody asked for: the request is being answered already."""
        if self._is_known or not self._incoming.in_head:
            return
        self._incoming.field(len(name) + len(value) + 4, len(self.headers) + 1)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is whole: see that it means one thing only, and begin to answer."""
        if self._is_known:
            self._is_known = False
            return
        framing = checked_framing(self.parser.get_http_version(), self.url, self.headers)
        self._incoming.end_head(framing)
        self._rest = 0
        self._since = self.keeper.now()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._incoming.add(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        if self.parser.should_upgrade() and self._incoming.framing:
            return
        self._incoming.end()
        self._since = self.keeper.now()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.transport = AnswerTransport(self.transport, self._end_answered)  # type: ignore[assignment]

        async def answered(scope: Any, receive: Any, send: Any) -> None:
            async def last(message: Any) -> None:
                if message["type"] == "http.response.start" and self._is_arriving(cycle):
                    # An answer before the end of the body is the last one here, and says so.
                    cycle.keep_alive = False
                await send(message)

            await app(scope, receive, last)

        super()._start_asgi_task(cycle, answered)

    def on_response_complete(self) -> None:
        """An answer is given; the next one may be due."""
        self._since = self.keeper.now()
        super().on_response_complete()

    def _refuse(self, error: ServiceError) -> None:
        """Answer by an error and end, once earlier requests are answered; what else comes is not read."""
        if self._refused or self.transport.is_closing():
            return
        self._refused, self._since = True, self.keeper.now()
        self.metrics.rejected(error.kind.name)
        running = self._running
        is_due = running is not None and not running.response_complete
        if running is not None and is_due and not self._is_arriving(running):
            self._end_after(running)
            return
        if running is not None and is_due:
            # The request that is broken is the one that is being answered.
            self._leave_running()
            if running.response_started:
                self.transport.close()
                return
        identifier = self._request_id()
        log.info("request_refused", reason=error.kind.name, request_id=identifier)
        path = self.scope["path"] if self.scope and "path" in self.scope else "/"
        self.transport.write(refusal(error, path, identifier, self.server_state.default_headers))
        self._linger()

    def _is_arriving(self, cycle: RequestResponseCycle | None) -> bool:
        """Whether the body of this request is still on its way."""
        return cycle is self.cycle and self._incoming.in_body

    def _end_answered(self) -> None:
        """End after the last answer; one that was given early is not lost to what the client still sends."""
        if self._is_arriving(self._running) and not self.transport.is_closing():
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Say that nothing follows, and read on for a while: closed at once, the connection would be reset by
        what still comes, and the answer lost."""
        self._refused, self._since = True, self.keeper.now()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def _abort(self) -> None:
        self._leave_running()
        self.transport.abort()

    def _leave_running(self) -> None:
        """Tell the request that is being answered that its client has gone; uvicorn tells the newest."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _request_id(self) -> str:
        sent = dict(self.headers or ()).get(REQUEST_ID.lower().encode())
        return request_id(None if sent is None else sent.decode("latin-1"))

    def _end_after(self, running: RequestResponseCycle) -> None:
        """End once the requests are answered that are whole."""
        if self.pipeline and self.pipeline[0][0] is self.cycle and self._incoming.in_body:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else running
        last.keep_alive = False
