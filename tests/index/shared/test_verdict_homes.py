"""Verdicts behave alike in SQLite and in the shared store, and two replicas lose none."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from index import (
    DamagedImageError,
    Quota,
    QuotaReachedError,
    TooManyVerdictsError,
    UnknownImageError,
    UnknownVerdictError,
    Verdict,
    digest_of,
    verdicts,
)
from index.shared import SharedQuotas, SharedStore, SharedVerdicts
from tests.index.shared.conftest import Home
from tests.index.verdict_samples import NAME, PROBE, WHEN, decision


def kept(home: Home, probe: bytes = PROBE) -> dict[str, str]:
    return {verdict.image_id: verdict.kind for verdict in home.verdicts.of(digest_of(probe))}


@pytest.fixture
def home(home: Home) -> Home:
    for image_id in "abc":
        home.enroll(image_id)
    return home


def test_a_verdict_is_kept_as_it_was_decided(home: Home) -> None:
    given = home.verdicts.decide(decision("b"))
    assert (given.probe, given.image_id, given.kind) == (NAME, "b", "same")
    assert (given.decided_at, given.decided_by, given.camera_id) == (WHEN, "3f9a1c2e", "gate")
    assert home.verdicts.of(NAME) == (given,)
    assert home.verdicts.probe(NAME) == (PROBE, "image/png")
    assert home.verdicts.of(digest_of(b"other")) == home.verdicts.of("no digest") == ()


def test_the_last_verdict_on_a_pair_counts_and_can_be_undone(home: Home) -> None:
    home.verdicts.decide(decision("a", "same"))
    home.verdicts.decide(decision("b", "different"))
    home.verdicts.decide(decision("a", "different", camera_id=None))
    assert kept(home) == {"a": "different", "b": "different"}
    assert [verdict.image_id for verdict in home.verdicts.of(NAME)] == ["a", "b"]
    assert {verdict.camera_id for verdict in home.verdicts.of(NAME)} == {"gate"}
    home.verdicts.undo(NAME, "a")
    assert kept(home) == {"b": "different"}
    home.verdicts.undo(NAME, "b")
    for image_id in ("a", "none", "\0"):
        with pytest.raises(UnknownVerdictError, match="no verdict"):
            home.verdicts.undo(NAME, image_id)
    with pytest.raises(UnknownVerdictError):
        home.verdicts.probe(NAME)


@pytest.mark.parametrize("image_id", ["none", "\0"])
def test_a_verdict_on_an_image_that_is_not_enrolled_is_refused(home: Home, image_id: str) -> None:
    with pytest.raises(UnknownImageError):
        home.verdicts.decide(decision(image_id))
    with pytest.raises(UnknownVerdictError):
        home.verdicts.probe(NAME)


def test_verdicts_go_with_the_image_and_the_probe_with_its_last(home: Home) -> None:
    home.verdicts.decide(decision("a"))
    home.verdicts.decide(decision("b", "different"))
    home.verdicts.decide(decision("b", probe=b"another"))
    home.delete("b")
    assert kept(home) == {"a": "same"}
    with pytest.raises(UnknownVerdictError):
        home.verdicts.probe(digest_of(b"another"))
    home.enroll("b")
    assert kept(home) == {"a": "same"}, "of another enrollment under the same id"


def test_a_probe_that_is_an_enrolled_image_goes_with_that_image(home: Home) -> None:
    image = home.image("c")
    home.verdicts.decide(decision("a", probe=image))
    home.delete("c")
    assert kept(home, image) == {}
    with pytest.raises(UnknownVerdictError):
        home.verdicts.probe(digest_of(image))


def test_pages_show_every_verdict_once(home: Home) -> None:
    decided = [
        home.verdicts.decide(decision(image_id, probe=probe))
        for probe in (PROBE, b"another")
        for image_id in "abc"
    ]
    found: list[Verdict] = []
    after: int | None = None
    while True:
        page = home.verdicts.page(after, 2)
        found += page.verdicts
        if (after := page.next) is None:
            break
    assert found == decided
    with pytest.raises(ValueError, match="limit is 0"):
        home.verdicts.page(limit=0)


def test_a_probe_has_so_many_verdicts_and_no_more(home: Home, monkeypatch: Any) -> None:
    monkeypatch.setattr(verdicts, "MOST", 2)
    for image_id in "ab":
        home.verdicts.decide(decision(image_id))
    with pytest.raises(TooManyVerdictsError, match="has 2 verdicts"):
        home.verdicts.decide(decision("c"))
    home.verdicts.decide(decision("a", "different"))
    assert kept(home) == {"a": "different", "b": "same"}
    home.verdicts.undo(NAME, "b")
    home.verdicts.decide(decision("c"))
    assert set(kept(home)) == {"a", "c"}


def test_a_probe_counts_for_the_quota_and_gives_its_room_back(home: Home) -> None:
    before = home.quotas.usage()
    home.quotas.set(Quota(bytes=before.bytes + 50))
    big = bytes(range(256)) * 400
    with pytest.raises(QuotaReachedError, match="bytes"):
        home.verdicts.decide(decision("a", probe=big))
    assert kept(home, big) == {}
    home.quotas.set(Quota())
    home.verdicts.decide(decision("a", probe=big))
    assert home.quotas.usage().bytes >= before.bytes + len(big)
    home.verdicts.undo(digest_of(big), "a")
    assert home.quotas.usage().bytes < before.bytes + len(big)


def test_what_two_replicas_decide_at_once_is_all_there(connect: Callable[[], SharedStore]) -> None:
    records = {f"image-{number}": number for number in range(60)}
    replicas = []
    for _ in range(2):
        its = connect()
        replicas.append(SharedVerdicts(its, "c2", records.get, SharedQuotas(its, "c2")))

    def decide(number: int) -> None:
        replicas[number % 2].decide(decision(f"image-{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decide, range(60)))
    assert {one.image_id for one in replicas[0].of(NAME)} == set(records)
    assert SharedQuotas(connect(), "c2").usage().bytes == len(PROBE) + verdicts.MAX_TEXT, (
        "the probe is once there"
    )


def test_nothing_stays_of_a_verdict_on_an_image_that_goes_at_that_moment(store: SharedStore) -> None:
    looks = iter([7, None])
    its = SharedVerdicts(store, "c3", lambda _: next(looks), SharedQuotas(store, "c3"))
    with pytest.raises(UnknownImageError):
        its.decide(decision("a"))
    assert its.of(NAME) == ()
    assert SharedQuotas(store, "c3").usage().bytes == 0


def test_a_probes_file_that_is_not_as_it_was_kept_is_not_given(store: SharedStore) -> None:
    its = SharedVerdicts(store, "c4", lambda _: 1, SharedQuotas(store, "c4"))
    its.decide(decision("a"))
    with store.client() as client:
        client.hset(store.key("collection", "c4", "verdict", "files"), NAME, b"something else")
    with pytest.raises(DamagedImageError, match="probe's file"):
        its.probe(NAME)
