"""When a key expires, as it is typed: a span (90d) or a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EXPIRY_RULE = (
    "a span from now (12h, 90d, 52w), a date (2027-01-31: from 00:00 UTC on) or a time with its zone"
)

_SPAN = re.compile(r"([1-9][0-9]{0,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def parse_expiry(text: str, now: datetime) -> datetime:
    """The moment from which on a key is refused, in UTC.

    Raises:
        ValueError: the text is none of EXPIRY_RULE, or the moment is past or beyond the calendar.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span:
            return now + timedelta(hours=int(span[1]) * _HOURS[span[2]])
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            if len(text) != len("2027-01-31"):
                raise ValueError(text)
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is beyond the calendar") from None
    except ValueError:
        raise ValueError(f"it takes {EXPIRY_RULE}") from None
    if moment <= now:
        raise ValueError("it is past already")
    return moment
