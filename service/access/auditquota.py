"""How many of a key's entries the audit log takes; what a flood has beyond is counted and summarised."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.access.ratelimit import address_group

MINUTE_S = 60.0
MAX_CALLERS = 1000
OTHERS = "others"
"""Stands for every caller without a key after so many in one minute."""


@dataclass
class _Caller:
    """What one caller's entries of the minute are, by action and status."""

    who: dict[str, Any]
    seen: Counter[str] = field(default_factory=Counter)


class Quota:
    """Admits so many entries of each caller, action and status in a minute.

    Each action and status has a quota of its own, so that a flood of queries, or of deletions that find
    nothing, does not hide a deletion. A caller is a key or, without one, an address.

    Args:
        per_minute: entries that are admitted; 0 admits all.
        clock: s, monotonic.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._began = clock()
        self._callers: dict[str, _Caller] = {}
        self._ended: list[dict[str, Any]] = []

    def admits(self, line: Mapping[str, Any]) -> bool:
        """Whether a request's line is to be written; it is counted where not."""
        if not self._per_minute:
            return True
        self._end_minute(early=False)
        caller = self._caller(line)
        kind = f"{line['action']} {line['status']}"
        caller.seen[kind] += 1
        return caller.seen[kind] <= self._per_minute

    def summaries(self, *, early: bool = False) -> list[dict[str, Any]]:
        """A line for each caller that was over its quota in a minute that has ended; each is given once.

        Args:
            early: end the minute now.
        """
        self._end_minute(early=early)
        ended, self._ended = self._ended, []
        return ended

    def _caller(self, line: Mapping[str, Any]) -> _Caller:
        name = line["key_id"] or address_group(line["client"])
        if name not in self._callers and not line["key_id"] and len(self._callers) >= MAX_CALLERS:
            name = OTHERS
        if name not in self._callers:
            who = {"key_id": line["key_id"], "key_name": line["key_name"], "client": line["client"]}
            self._callers[name] = _Caller(who if name != OTHERS else {**who, "client": OTHERS})
        return self._callers[name]

    def _end_minute(self, *, early: bool) -> None:
        now = self._clock()
        if now - self._began < MINUTE_S and not early:
            return
        for caller in self._callers.values():
            counted = {kind: seen - self._per_minute for kind, seen in caller.seen.items()}
            over = {kind: count for kind, count in counted.items() if count > 0}
            if over:
                seconds = round(min(now - self._began, MINUTE_S), 1)
                self._ended.append({"action": "summary", **caller.who, "seconds": seconds, "counted": over})
        self._began = now
        self._callers.clear()
