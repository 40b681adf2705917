"""A token bucket for each caller."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

MAX_CALLERS = 10_000


class RateLimiter:
    """Lets each caller make `burst` requests at once and `per_s` a second for good.

    Args:
        per_s: requests a second; 0 lets everything in.
        burst: requests at once, after a pause.
        max_callers: whose buckets are kept; beyond, the one that was idle longest is forgotten, which is to
            say full again. So memory is bounded whoever calls.
        clock: s, monotonic.
    """

    def __init__(
        self,
        per_s: float,
        burst: int,
        max_callers: int = MAX_CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._max_callers = max_callers
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Callers that are remembered."""
        return len(self._buckets)

    def take(self, caller: str) -> float:
        """Count a request: 0 where it is let in, else s until one will be; what is refused costs nothing."""
        if self._per_s <= 0:
            return 0.0
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._per_s)
        let_in = tokens >= 1
        self._buckets[caller] = (tokens - 1 if let_in else tokens, now)
        if len(self._buckets) > self._max_callers:
            self._buckets.popitem(last=False)
        return 0.0 if let_in else (1 - tokens) / self._per_s


def address_group(address: str) -> str:
    """Who counts as one caller: an IPv4 address, or the /64 that one IPv6 customer has all of."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
