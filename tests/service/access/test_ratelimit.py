"""Token buckets: a burst at once, a rate for good, and memory for so many callers only."""

from __future__ import annotations

import pytest

from service.access.ratelimit import RateLimiter, address_group


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_passes_then_one_at_a_time(clock: Clock) -> None:
    limiter = RateLimiter(2, 3, clock=clock)
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now += 0.5
    assert [limiter.take("a"), limiter.take("a")] == [0, 0.5]
    clock.now += 1000
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_being_refused_costs_nothing(clock: Clock) -> None:
    limiter = RateLimiter(1, 1, clock=clock)
    limiter.take("a")
    for _ in range(100):
        assert limiter.take("a") == 1
    clock.now += 1
    assert limiter.take("a") == 0


def test_callers_do_not_take_from_each_other(clock: Clock) -> None:
    limiter = RateLimiter(1, 1, clock=clock)
    assert [limiter.take(caller) for caller in "aba"] == [0, 0, 1]


def test_zero_lets_everything_in_and_remembers_nobody(clock: Clock) -> None:
    limiter = RateLimiter(0, 1, clock=clock)
    assert not any(limiter.take(str(number % 2)) for number in range(100))
    assert len(limiter) == 0


def test_however_many_call_only_so_many_are_remembered(clock: Clock) -> None:
    limiter = RateLimiter(1, 1, max_callers=100, clock=clock)
    for number in range(10_000):
        limiter.take("busy")
        limiter.take(str(number))
    assert len(limiter) == 100
    assert limiter.take("busy") == 1


def test_one_customers_addresses_are_one_caller() -> None:
    assert address_group("2001:db8:1:2:3::4") == address_group("2001:db8:1:2:ffff::1") == "2001:db8:1:2::"
    assert address_group("2001:db8:1:3::1") != address_group("2001:db8:1:2::1")
    assert address_group("10.0.0.7") != address_group("10.0.0.8")
    assert address_group("::ffff:10.0.0.7") != address_group("::ffff:10.0.0.8")
    assert address_group("fe80::1%eth0") == "fe80::"
    assert address_group("local") == "local"
