"""What `Retry-After` comes to, whatever stands in it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lka_reid_client.retry import LONGEST_WAIT_S, SHORTEST_WAIT_S, asked_wait_s, wait_s

NOW = datetime(2026, 5, 17, 8, 30, tzinfo=UTC)


def at(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("3", 3.0),
        (" 0 ", 0.0),
        ("2.5", 2.5),
        ("9" * 400, math.inf),
        (at(90), 90.0),
        (at(-90), 0.0),
        ("Sunday, 17-May-26 08:31:00 GMT", 60.0),
        ("Sun May 17 08:31:00 2026", 60.0),
        ("-1", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("0x10", None),
        ("1, 2", None),
        ("\u0663", None),
        ("soon", None),
        ("Sun, 99 May 2026 08:31:00 GMT", None),
        ("Sun, 17 May 99999 08:31:00 GMT", None),
    ],
)
def test_it_is_understood_or_ignored(value: str, asked: float | None) -> None:
    headers = {"retry-after": value, "date": at(0)}
    assert asked_wait_s(headers) == asked
    assert SHORTEST_WAIT_S <= wait_s(headers, 1) <= LONGEST_WAIT_S


def test_a_date_counts_from_this_machine_where_the_service_names_none() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for date in ({}, {"date": "now"}):
        asked = asked_wait_s({"retry-after": soon, **date})
        assert asked == pytest.approx(3600, abs=60)


def test_waits_grow_where_nothing_is_asked_for() -> None:
    assert [wait_s({}, attempt) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert wait_s({"retry-after": "nan"}, 10**6) == 30
    assert [wait_s({"retry-after": "3"}, attempt) for attempt in (1, 2, 9)] == [3, 3, 3]
