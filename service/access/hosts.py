"""Which `Host` headers a service without API keys answers to.

A page of another site can make its own name point to this machine's address (DNS rebinding) and then read
the answers as its own. The browser then sends that name as `Host`, so an unknown name is refused. No other
site can stand behind an IP address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from service.access.loopback import is_address, is_loopback

ANY = "*"
HOST_NAME = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
_HOST = re.compile(rf"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>{HOST_NAME})\.?)(?::\d{{1,5}})?")


class AllowedHosts:
    """The hosts that are answered: loopback names always, and those that are named.

    Args:
        names: such as `reid.example`; `*.example` for every name below it, `*` for any host at all.
        addresses: whether any IP address is answered, as where other machines are let in.
    """

    def __init__(self, names: Sequence[str], *, addresses: bool) -> None:
        self._any = ANY in names
        self._names = frozenset(name.lower() for name in names)
        self._addresses = addresses

    def allows(self, host_header: str) -> bool:
        """Whether a request with this `Host` is answered."""
        if self._any:
            return True
        found = _HOST.fullmatch(host_header)
        if found is None:
            return False
        name = (found["v6"] or found["name"]).lower()
        if is_loopback(name) or name.endswith(".localhost") or (self._addresses and is_address(name)):
            return True
        above = name.split(".")
        parents = (f"*.{'.'.join(above[start:])}" for start in range(1, len(above)))
        return name in self._names or any(parent in self._names for parent in parents)
