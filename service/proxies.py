"""Reverse proxies that are trusted."""

from __future__ import annotations

from ipaddress import ip_address, ip_network


class TrustedProxies:
    """Addresses and networks, as in `10.0.0.0/8, 192.168.7.5`.

    Raises:
        ValueError: one is neither.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._networks = [ip_network(item.strip(), strict=False) for item in text.split(",") if item.strip()]

    def __contains__(self, address: str) -> bool:
        """Whether this is one of them."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)
