"""The quota of a key in the audit log: a flood is counted, and hides nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.access.auditquota import MAX_CALLERS, Quota
from tests.service.access.holders import guarded


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def line(
    action: str = "query", status: int = 200, key: str | None = "k", client: str = "10.0.0.1"
) -> dict[str, Any]:
    return {"action": action, "status": status, "key_id": key, "key_name": "n", "client": client}


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_over_the_quota_is_counted_and_summarised_once_a_minute(clock: Clock) -> None:
    quota = Quota(2, clock)
    assert [quota.admits(line()) for _ in range(5)] == [True, True, False, False, False]
    assert quota.summaries() == []
    clock.now += 60
    assert quota.admits(line())
    assert quota.summaries() == [
        {
            "action": "summary",
            "key_id": "k",
            "key_name": "n",
            "client": "10.0.0.1",
            "seconds": 60,
            "counted": {"query 200": 3},
        }
    ]
    assert quota.summaries() == []


def test_each_key_action_and_status_has_a_quota_of_its_own(clock: Clock) -> None:
    quota = Quota(1, clock)
    kinds = [line(), line("delete", 404), line("delete", 204), line(key="other"), line(key=None)]
    assert all(quota.admits(kind) for kind in kinds)
    assert not any(quota.admits(kind) for kind in kinds)
    counted = [summary["counted"] for summary in quota.summaries(early=True)]
    assert counted == [{"query 200": 1, "delete 404": 1, "delete 204": 1}, {"query 200": 1}, {"query 200": 1}]


def test_addresses_without_number_share_a_quota(clock: Clock) -> None:
    quota = Quota(1, clock)
    callers = [
        line(key=None, client=f"10.0.{number // 256}.{number % 256}") for number in range(2 * MAX_CALLERS)
    ]
    assert sum(quota.admits(caller) for caller in callers) == MAX_CALLERS + 1
    [summary] = quota.summaries(early=True)
    assert (summary["client"], summary["counted"]) == ("others", {"query 200": MAX_CALLERS - 1})


def test_none_admits_everything(clock: Clock) -> None:
    quota = Quota(0, clock)
    assert all(quota.admits(line()) for _ in range(1000))
    assert quota.summaries(early=True) == []


def test_a_flood_of_one_key_leaves_room_for_the_others(tmp_path: Path) -> None:
    with guarded(tmp_path, audit_per_minute=3) as it:
        for _ in range(10):
            it.service.client.get("/gallery/none", headers=it.headers("query"))
        it.service.client.get("/gallery", headers=it.headers("admin"))
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    entries = [(line["key_name"].split()[1], line["action"]) for line in lines]
    assert entries == [("query", "record")] * 3 + [("admin", "list"), ("query", "summary")]
    assert lines[-1]["counted"] == {"record 404": 7}
    assert "image_hash" not in lines[-1]
