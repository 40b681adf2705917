"""When a request is sent again that was answered by "later", or by nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SHORTEST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
PATIENCE_S = 120.0
"""s from the first answer of "later" to the last attempt."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def wait_s(headers: Mapping[str, str], attempt: int) -> float:
    """How long to wait before a request is sent again, s.

    That is what `Retry-After` asks for, within bounds; where that is not understood, twice as long after each
    attempt.

    Args:
        headers: of the answer, by names in lower case.
        attempt: 1 after the first.
    """
    asked = asked_wait_s(headers)
    if asked is None:
        asked = SHORTEST_WAIT_S * 2.0 ** min(attempt - 1, 10)
    return min(max(asked, SHORTEST_WAIT_S), LONGEST_WAIT_S)


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """What `Retry-After` (RFC 9110, section 10.2.3) asks for, s; None where that cannot be understood.

    A date counts from the service's own `Date`, so that clocks need not agree.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    moment = _date(text)
    if moment is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (moment - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
