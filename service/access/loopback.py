"""Which addresses mean this machine alone."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


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
