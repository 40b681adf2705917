"""A message is signed, sent once to the checked address, and accepted by 2xx alone."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.watching import webhook
from service.watching.signature import new_secret, sign
from service.watching.webhook import DeliveryError, WebhookSender
from tests.service.watching.receiver import Receiver, receiving

SECRET = new_secret()
CERTIFICATE = Path(__file__).with_name("hooks.example.pem")
"""Of `hooks.example`, signed by itself, with its key; `openssl req -x509` made it."""
BODY = json.dumps({"type": "alert", "data": {}}).encode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as it:
        yield it


def send(url: str, *, private: bool = True) -> None:
    async def once() -> None:
        sender = WebhookSender(private=private, clock=lambda: 1614265330.7)
        try:
            await sender.send(url, SECRET, "alert-default-7", BODY)
        finally:
            await sender.close()

    asyncio.run(once())


def test_a_message_is_signed_over_its_id_time_and_body(receiver: Receiver) -> None:
    send(receiver.url)
    [message] = receiver.messages
    assert (message.path, message.body) == ("/hook?token=in-the-url", BODY)
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-id"] == "alert-default-7"
    assert message.headers["webhook-timestamp"] == "1614265330"
    assert message.headers["webhook-signature"] == sign(SECRET, "alert-default-7", 1614265330, BODY)
    assert SECRET not in str(message)


@pytest.mark.parametrize("status", [302, 307, 400, 404, 410, 429, 500])
def test_any_other_answer_is_a_failure_and_a_redirect_is_not_followed(
    receiver: Receiver, status: int
) -> None:
    receiver.answers, receiver.headers = [status], {"Location": receiver.url}
    with pytest.raises(DeliveryError, match=f"it answered {status}") as failed:
        send(receiver.url)
    assert len(receiver.messages) == 1
    assert "in-the-url" not in str(failed.value)


def test_a_private_address_is_refused_where_it_is_not_allowed(receiver: Receiver) -> None:
    with pytest.raises(DeliveryError, match="refused"):
        send(receiver.url.replace("http:", "https:"), private=False)
    assert receiver.messages == []


def test_nobody_there_and_no_such_name_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DeliveryError, match=r"could not be reached \(ConnectError\)"):
            send(f"http://127.0.0.1:{taken.getsockname()[1]}/")

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DeliveryError, match="has no address"):
        send("http://nowhere.example/")


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TOTAL_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DeliveryError, match=r"no answer within|ReadTimeout"):
            send(f"http://127.0.0.1:{silent.getsockname()[1]}/")


def test_a_body_without_an_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TOTAL_S", 5.0)
    with socket.socket() as endless:
        endless.bind(("127.0.0.1", 0))
        endless.listen()
        endless.settimeout(10)

        def answer() -> None:
            connection, _ = endless.accept()
            with connection:
                while not connection.recv(65536).endswith(BODY):
                    continue
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                try:
                    while True:
                        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                except OSError:
                    return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        send(f"http://127.0.0.1:{endless.getsockname()[1]}/")
        thread.join(10)
        assert not thread.is_alive()


def test_a_server_has_to_prove_the_name_though_its_address_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name goes into the handshake, and the certificate has to be of it: that of another is refused."""
    seen: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    original = httpx.AsyncClient

    def client(**options: Any) -> httpx.AsyncClient:
        return original(**options, verify=trusting)

    monkeypatch.setattr(httpx, "AsyncClient", client)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(10)
        port = server.getsockname()[1]

        def answer() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                try:
                    with context.wrap_socket(connection, server_side=True) as secure:
                        while not secure.recv(65536).endswith(BODY):
                            continue
                        secure.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
                except OSError:
                    continue

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        everywhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: everywhere)
        send(f"https://hooks.example:{port}/in")
        with pytest.raises(DeliveryError, match="could not be reached"):
            send(f"https://other.example:{port}/in")
        thread.join(10)
    assert seen == ["hooks.example", "other.example"]
