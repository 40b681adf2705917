"""This machine, and everything else: which addresses and names mean this machine alone."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit


def is_address(host: str) -> bool:
    """Whether this is an IP address, and not a name or a socket's path."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is in 127.0.0.0/8, is ::1, or is `localhost`."""
    if host.lower() == "localhost":
        return True
    if not is_address(host):
        return False
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def names_this_machine(host_header: str) -> bool:
    """Whether a `Host` header is one that means this machine: loopback, `localhost` or a name below it.

    A page of another site can make its own name point to 127.0.0.1 and then read what a service without keys
    answers there; the `Host` that its browser sends gives it away.
    """
    try:
        name = urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name.endswith(".localhost")


def is_same_site(origin: str, host_header: str) -> bool:
    """Whether an `Origin` header is this service's own pages'."""
    try:
        return urlsplit(origin).netloc.lower() == host_header.lower()
    except ValueError:
        return False
