"""A client that takes as little of the machine as it can: what is measured is the service."""

from __future__ import annotations

import http.client
import socket
import threading
import uuid
from itertools import cycle
from urllib.parse import urlsplit


class QueryClient:
    """Sends ready-made queries to one service; each thread has a connection of its own.

    Args:
        url: of the service.
        images: the probes' files, sent in turn.
    """

    def __init__(self, url: str, images: list[bytes]) -> None:
        where = urlsplit(url)
        self._address = (where.hostname or "127.0.0.1", where.port or 80)
        self._requests = cycle([_request(where.netloc, image) for image in images])
        self._lock = threading.Lock()
        self._local = threading.local()

    def query(self) -> tuple[int, bytes]:
        """Send the next query; the response's status and body."""
        with self._lock:
            request = next(self._requests)
        if not hasattr(self._local, "socket"):
            self._local.socket = socket.create_connection(self._address, timeout=60)
            self._local.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection: socket.socket = self._local.socket
        # In one piece, so that the service does not wait between head and body.
        connection.sendall(request)
        response = http.client.HTTPResponse(connection, method="POST")
        response.begin()
        return response.status, response.read()


def _request(host: str, image: bytes) -> bytes:
    boundary = uuid.uuid4().hex
    body = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="probe.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        ).encode()
        + image
        + f"\r\n--{boundary}--\r\n".encode()
    )
    head = (
        f"POST /query HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary={boundary}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
