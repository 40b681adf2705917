"""Numbers of enrollments are drawn once, by whichever replica; settings are the same for all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from index.shared import SharedNumbers, SharedSettings, SharedStore


def test_two_replicas_draw_no_number_twice_and_later_ones_are_higher(
    connect: Callable[[], SharedStore],
) -> None:
    replicas = [SharedNumbers(connect(), "c1") for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda at: replicas[at % 2].draw(3), range(40)))
    drawn = sorted(number + more for number in first for more in range(3))
    assert drawn == list(range(1, 121))
    replicas[0].reach(500)
    replicas[0].reach(20)
    assert replicas[1].draw(1) == 501


def test_a_setting_is_seen_by_another_replica_and_can_be_taken_away(
    connect: Callable[[], SharedStore],
) -> None:
    one, other = (SharedSettings(connect(), "c1") for _ in range(2))
    assert other.get("retention_days") is None
    one.set("retention_days", 30)
    assert other.get("retention_days") == 30
    other.set("retention_days", None)
    assert one.get("retention_days") is None
