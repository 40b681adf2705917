"""A service in a thread of this process, for benchmarks that look at its parts at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from service.server import listen

STOP_S = 30.0
IDLE_S = 3600


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The URL of the application, ready.

    Raises:
        RuntimeError: it could not start.
    """
    sock = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    # A client may leave its connection idle while it measures something else.
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_keep_alive=IDLE_S)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not _ready(client):
                failure = app.state.lifecycle.failure
                if failure is not None:
                    raise RuntimeError(f"the service could not start: {failure}")
                time.sleep(0.05)
        yield url
    finally:
        server.should_exit = True
        thread.join(STOP_S)


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
