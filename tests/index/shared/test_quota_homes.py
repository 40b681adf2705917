"""Quotas behave alike in SQLite and in the shared store, and hold between replicas."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from index import DuplicateImageError, InvalidQuotaError, Quota, QuotaReachedError, Usage
from index.shared import Claims, SharedQuotas, SharedStore
from tests.index.shared.conftest import Home


def test_a_quota_is_what_was_set_and_bounds_what_is_enrolled(home: Home) -> None:
    assert home.quotas.quota() == Quota()
    home.quotas.set(Quota(images=2, bytes=10**9))
    assert home.quotas.quota() == Quota(images=2, bytes=10**9)
    home.enroll("a")
    home.enroll("b")
    with pytest.raises(QuotaReachedError, match="2 images"):
        home.enroll("c")
    assert home.quotas.usage().images == 2
    home.delete("a")
    home.enroll("c")
    home.quotas.set(Quota(images=1))
    assert home.quotas.usage().images == 2, "what is enrolled stays"
    home.quotas.set(Quota())
    home.enroll("d")


@pytest.mark.parametrize("quota", [Quota(images=-1), Quota(bytes=2**63)])
def test_a_limit_that_is_none_is_refused(home: Home, quota: Quota) -> None:
    with pytest.raises(InvalidQuotaError):
        home.quotas.set(quota)
    assert home.quotas.quota() == Quota()


def test_two_replicas_that_enroll_at_once_stay_within_it(connect: Callable[[], SharedStore]) -> None:
    replicas = [SharedQuotas(connect(), "c1") for _ in range(2)]
    replicas[0].set(Quota(images=25))

    def enroll(number: int) -> bool:
        quotas = replicas[number % 2]
        try:
            quotas.count(quotas.reserve(1, 10))
        except QuotaReachedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(enroll, range(60))) == 25
    assert replicas[1].usage() == Usage(25, 250)


def test_room_that_a_replica_held_and_never_came_back_for_is_free_again(store: SharedStore) -> None:
    gone, quotas = SharedQuotas(store, "c1", reserved_s=0.0), SharedQuotas(store, "c1")
    quotas.set(Quota(images=1))
    gone.reserve(1, 0)
    reservation = quotas.reserve(1, 5)
    with pytest.raises(QuotaReachedError):
        quotas.reserve(1, 5)
    quotas.cancel(reservation)
    assert quotas.usage() == Usage(0, 0)
    quotas.count(quotas.reserve(1, 5))
    quotas.release(3, 99)
    assert quotas.usage() == Usage(0, 0)
    quotas.recount(Usage(7, 70))
    assert quotas.usage() == Usage(7, 70)


def test_what_images_take_is_set_right_and_what_lies_beside_them_stays(store: SharedStore) -> None:
    quotas = SharedQuotas(store, "c1")
    quotas.count(quotas.reserve(2, 20))
    quotas.count(quotas.reserve(0, 7))
    quotas.count(quotas.reserve(0, 3))
    quotas.release(0, 3)
    assert quotas.usage() == Usage(2, 27)
    # A third image is there, and whoever enrolled it died before it was counted.
    assert quotas.settle(quotas.changes(), Usage(3, 31))
    assert quotas.usage() == Usage(3, 38)
    quotas.recount(Usage(2, 20))
    assert quotas.usage() == Usage(2, 27)


def test_nothing_is_set_right_while_something_changes(store: SharedStore) -> None:
    quotas = SharedQuotas(store, "c1")
    before = quotas.changes()
    reservation = quotas.reserve(1, 5)
    assert not quotas.settle(before, Usage(1, 5))
    quotas.count(reservation)
    assert not quotas.settle(before, Usage(2, 10))
    assert quotas.usage() == Usage(1, 5)
    gone = SharedQuotas(store, "c1", reserved_s=0.0)
    gone.reserve(1, 5)
    assert quotas.settle(quotas.changes(), Usage(2, 10)), "a reservation that ended keeps nobody waiting"


def test_an_image_that_was_replaced_meanwhile_is_a_change_though_usage_is_as_before(
    connect: Callable[[], SharedStore],
) -> None:
    quotas, other = (SharedQuotas(connect(), "c1") for _ in range(2))
    quotas.count(quotas.reserve(1, 5))
    before, was = quotas.changes(), quotas.usage()
    # Whoever counts rows meanwhile may see the image under its old number and under its new one.
    other.release(1, 5)
    other.count(other.reserve(1, 5))
    assert quotas.usage() == was
    assert not quotas.settle(before, Usage(2, 10))
    # Of two replicas that count at the same time one sets it.
    both = quotas.changes(), other.changes()
    assert quotas.settle(both[0], Usage(1, 5))
    assert not other.settle(both[1], Usage(1, 5))


def test_one_of_two_replicas_gets_an_image_id(connect: Callable[[], SharedStore]) -> None:
    first, second = (Claims(connect(), "c1") for _ in range(2))
    with first.claimed(["a", "b"]) as claim:
        with pytest.raises(DuplicateImageError, match="'b'"), second.claimed(["c", "b"]):
            pass
        with second.claimed(["c"]):
            pass
        assert claim.extend()
    with second.claimed(["a", "b", "c"]):
        pass


def test_a_claim_that_ended_is_known_and_another_ones_is_left_alone(store: SharedStore) -> None:
    late, other = Claims(store, "c1", claimed_s=0.001), Claims(store, "c1")
    with late.claimed(["a"]) as claim:
        with store.client() as client:
            while client.keys("*claim*"):
                pass
        with other.claimed(["a"]) as held:
            assert not claim.extend()
            assert held.extend()
