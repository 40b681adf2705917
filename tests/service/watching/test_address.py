"""A webhook leads only to the internet, unless a setting allows more, whatever its host's name says."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from service.watching.address import RefusedWebhookError, Target, check_url, resolve

PRIVATE = (
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "::1",
    "fe80::1",
    "fd00:ec2::254",
    "fec0::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
)
NOBODY = ("0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:0.0.0.0")  # noqa: S104 - refused


def answer_with(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Have every name be at these addresses; the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def target(url: str, *, private: bool = False) -> Target:
    return asyncio.run(resolve(url, private=private))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_at_a_private_address_is_refused_unless_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    answer_with(monkeypatch, "93.184.215.14", address)
    with pytest.raises(RefusedWebhookError, match="ALLOW_PRIVATE_WEBHOOKS"):
        target("https://hooks.example/in")
    answer_with(monkeypatch, address)
    assert target("https://hooks.example/in", private=True).name == "hooks.example"
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(RefusedWebhookError, match="not an address of the internet"):
        check_url(f"https://{host}/in", private=False)
    check_url(f"http://{host}/in", private=True)


@pytest.mark.parametrize("address", NOBODY)
def test_an_address_of_nobody_or_of_many_is_always_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    answer_with(monkeypatch, address)
    with pytest.raises(RefusedWebhookError, match="nobody's"):
        target("https://hooks.example/in", private=True)


def test_the_address_that_was_checked_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, "93.184.215.14", "2606:2800:21f::1")
    found = target("https://Hooks.Example:8443/in/a?b=c")
    assert found == Target("https://93.184.215.14:8443/in/a?b=c", "hooks.example:8443", "hooks.example")
    assert asked == ["hooks.example"]
    answer_with(monkeypatch, "2606:2800:21f::1")
    assert target("https://hooks.example") == Target(
        "https://[2606:2800:21f::1]/", "hooks.example", "hooks.example"
    )
    assert target("https://[2606:2800:21f::1]/in").name is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "//hooks.example/",
        "https://",
        "https:///in",
        "https://user@hooks.example/",
        "https://user:word@hooks.example/",
        "https://hooks.example/#part",
        "https://hooks.example:99999/",
        "https://hooks.example/a b",
        "https://hooks.example\\@127.0.0.1/",
        "https://hooks.example/\r\nHost: other",
        "https://höoks.example/",
        "https://[::1/",
        "https://hooks.example/" + "a" * 2048,
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(RefusedWebhookError):
        check_url(url, private=True)


def test_plain_http_is_for_private_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, "93.184.215.14")
    with pytest.raises(RefusedWebhookError, match="https://"):
        check_url("http://hooks.example/", private=False)
    assert target("http://hooks.example/", private=True).name is None
