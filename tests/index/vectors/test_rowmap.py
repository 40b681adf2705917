"""Rows of an index and the ids of their images."""

from __future__ import annotations

import numpy as np
import pytest

from index.vectors.rowmap import Digests, RowMap


def test_rows_know_their_ids_through_copies_deletions_and_numbers_out_of_order() -> None:
    random = np.random.default_rng(3)
    vectors = random.standard_normal((30, 4)).astype(np.float32)
    rows = RowMap()
    held: dict[int, int] = {}

    def check(rows: RowMap) -> None:
        assert rows.ids().tolist() == sorted(held)
        assert rows.count == len(held)
        assert rows.dead == np.count_nonzero(rows.first == -1)
        ids = np.array([*held, 999], np.int64)
        of = rows.rows_of(ids)
        assert of[-1] == -1
        for record_id, row in zip(ids[:-1].tolist(), of[:-1].tolist(), strict=True):
            members = rows.members(row)
            same = sorted(i for i, vector in held.items() if vector == held[record_id])
            assert same == ([record_id] if members is None else members.tolist())

    for step in range(60):
        fresh = [int(i) for i in random.permutation(90)[:8] if int(i) not in held]
        chosen = random.integers(0, len(vectors), len(fresh))
        rows.add(np.array(fresh, np.int64), vectors[chosen])
        held |= dict(zip(fresh, chosen.tolist(), strict=True))
        gone = random.permutation(list(held))[: min(len(held), 7)]
        rows.remove(gone)
        for record_id in gone.tolist():
            del held[record_id]
        if step % 10 == 0:
            check(rows)
            rows = RowMap(**rows.arrays())
            check(rows)
    with pytest.raises(RuntimeError, match="it held 0"):
        rows.remove(np.array([999]))


def test_digests_are_found_before_and_after_they_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.vectors.rowmap.OVERLAY", 5)
    digests = np.random.default_rng(0).integers(1, 2**63, 40).astype(np.uint64)
    known = Digests(digests[:10])
    for row in range(10, 40):
        known.put(int(digests[row]), row)
    assert [known.find(int(digest)) for digest in digests] == list(range(40))
    assert known.find(1) == -1
