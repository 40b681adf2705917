"""The server under the application: its socket, its signals, its end."""

from __future__ import annotations

import errno
import math
import os
import signal
import socket
import sys
from collections.abc import Callable

import structlog
import uvicorn
from fastapi import FastAPI

from service.access.keyring import Keyring
from service.access.loopback import is_loopback
from service.advice import command
from service.api.app import create_app
from service.api.lifecycle import Lifecycle
from service.inference.fatal_errors import LOST, EmbedderLostError
from service.proxies import TrustedProxies
from service.settings import Settings
from service.startup import CommandError
from service.transport.bounds import Bounds, most_connections
from service.transport.connections import Connections
from service.transport.forwarded import ForwardedMiddleware
from service.transport.protocol import protocol_class

log = structlog.get_logger(__name__)

BACKLOG = 512
"""Connections that wait to be accepted; all of them are, in one turn of the loop."""
KEEP_ALIVE_S = 75
"""s that an idle connection stays open: longer than proxies keep theirs (60), which would meet a closed one;
and a client that is refused while it still sends has that long to notice."""


class Server(uvicorn.Server):
    """uvicorn's server, which ends streams before it waits for the answers that are under way.

    Args:
        end_streams: called once, when no more connections are taken.
        config: of the server.
    """

    def __init__(self, end_streams: Callable[[], None], config: uvicorn.Config) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, and end."""
        self._end_streams()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; it does not listen yet.

    Raises:
        CommandError: the address is taken, not this machine's, or not allowed.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise CommandError(
            f"host {host!r} is no address of this machine ({error.strerror}); set another with --host"
        ) from None
    # The protocol is named because asyncio switches Nagle's algorithm off only where it is: an answer in two
    # packets would otherwise wait 40 ms for the first one's acknowledgement.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise CommandError(_bind_fault(host, port, error)) from None
    return listener


def _bind_fault(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; stop the program that has it, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges; choose one from 1024 up with --port"
    return (
        f"cannot listen on {host}, port {port}: {error.strerror}; set another address with --host and --port"
    )


def check_address(listener: socket.socket, settings: Settings, keyring: Keyring) -> None:
    """See that other machines are let in only where there are keys, or where that was asked for.

    Raises:
        CommandError: neither; it names both remedies.
    """
    address = str(listener.getsockname()[0])
    if is_loopback(address) or settings.allow_anonymous or keyring.required:
        return
    words = ("keys", "create", "--scope", "admin", "--name", "NAME")
    create = command(*words, settings=settings, options=("data_dir",))
    raise CommandError(
        f"other machines reach {settings.host}, and there are no API keys in {keyring.where}: make one "
        f"with `{create}`, or let everybody in with --allow-anonymous (LKA_REID_ALLOW_ANONYMOUS=true)"
    )


def server_for(app: FastAPI, settings: Settings, bounds: Bounds | None = None) -> uvicorn.Server:
    """A server of the application, within the bounds of its connections.

    Args:
        bounds: those of the settings where not given.
    """
    if bounds is None:
        connections = most_connections(settings.max_connections)
        if connections < settings.max_connections:
            log.warning("connections_limited", connections=connections, wanted=settings.max_connections)
        bounds = Bounds(
            connections=connections,
            per_peer=min(settings.max_connections_per_peer, connections),
            idle_s=KEEP_ALIVE_S,
            drain_s=settings.request_deadline_s,
            drain_bytes=settings.max_body_bytes,
        )
    proxies = TrustedProxies(settings.trusted_proxies)
    lifecycle: Lifecycle = app.state.lifecycle
    keeper = Connections(bounds, proxies.__contains__)
    return Server(
        lifecycle.end_streams,
        uvicorn.Config(
            ForwardedMiddleware(app, proxies) if proxies.text.strip() else app,
            http=protocol_class(keeper, app.state.metrics),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(settings.drain_s),
        ),
    )


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way and return.

    Where the embedder is lost, whoever waits is answered (503) and the process ends with status `LOST`.

    Raises:
        CommandError: the address cannot be used, or must not be.
        KeyFileError: the file of API keys is there and cannot be used.
        Exception: what `Resources.open` raised, where it did.
    """
    listener = listen(settings.host, settings.port)

    def give_up() -> None:
        server.should_exit = True

    try:
        app = create_app(settings, on_failure=give_up)
        check_address(listener, settings, app.state.keyring)
    except BaseException:
        listener.close()
        raise
    server = server_for(app, settings)
    # The server raises the signal again once it has drained; the process is to end with status 0.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    log.info("listening", url=f"http://{host}:{settings.port}")
    server.run(sockets=[listener])
    failure = app.state.lifecycle.failure
    if isinstance(failure, EmbedderLostError):
        log.critical("ending", status=LOST, reason=str(failure))
        # Not by way of the interpreter's end: a lost device holds up whatever tries to let go of it.
        sys.stderr.flush()
        os._exit(LOST)
    if failure is not None:
        raise failure
